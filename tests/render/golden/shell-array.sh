##### 0/outputs.sh
dir=/home/me/out/b0-0
outputs() {
  :
  declared 0 '*.root' '*.root' '*.root'
  declared 1 'hists/**/*.json' 'hists/**/*.json' 'hists/**/*.json'
  declared 2 'it['\'']s [a-c].txt' 'it['\'']s [a-c].txt' 'it?*s ?*.txt'
  declared 3 'deep/**' 'deep/**' 'deep/**'
}
##### 0/script.sh
#!/bin/bash
# b0-0.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SCHEDULER_BUNDLE:?}
batch_id=$(uname -n):$$
index=$((${SCHEDULER_ELEMENT:?} - ${first:-0}))
element=0
attempt=0

payload() {
  export JOB_ID=b0-0
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='epic $x'
  printf '%s\0' maps/field.map >"$control/inputs"
  { mkdir -p ./maps && rm -rf ./maps/field.map && cp -R "$shared/1" ./maps/field.map; } || cannot_start "the input files cannot be copied to $dir"
  exec bash "$shared/0" --z1 0 '<>'
}

. "$bundle/harness.sh"
##### 1/outputs.sh
dir=/home/me/out/b0-1
outputs() {
  :
  declared 0 '*.root' '*.root' '*.root'
  declared 1 'hists/**/*.json' 'hists/**/*.json' 'hists/**/*.json'
  declared 2 'it['\'']s [a-c].txt' 'it['\'']s [a-c].txt' 'it?*s ?*.txt'
  declared 3 'deep/**' 'deep/**' 'deep/**'
}
##### 1/script.sh
#!/bin/bash
# b0-0.abcdefghjk-0, job 1. harness.sh has what all jobs have in common.
bundle=${SCHEDULER_BUNDLE:?}
batch_id=$(uname -n):$$
index=$((${SCHEDULER_ELEMENT:?} - ${first:-0}))
element=1
attempt=0

payload() {
  export JOB_ID=b0-1
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='epic $x'
  printf '%s\0' maps/field.map >"$control/inputs"
  { mkdir -p ./maps && rm -rf ./maps/field.map && cp -R "$shared/1" ./maps/field.map; } || cannot_start "the input files cannot be copied to $dir"
  exec bash "$shared/0" --z1 1 '<>'
}

. "$bundle/harness.sh"
##### 2/outputs.sh
dir=/home/me/out/b0-2
outputs() {
  :
  declared 0 '*.root' '*.root' '*.root'
  declared 1 'hists/**/*.json' 'hists/**/*.json' 'hists/**/*.json'
  declared 2 'it['\'']s [a-c].txt' 'it['\'']s [a-c].txt' 'it?*s ?*.txt'
  declared 3 'deep/**' 'deep/**' 'deep/**'
}
##### 2/script.sh
#!/bin/bash
# b0-0.abcdefghjk-0, job 2. harness.sh has what all jobs have in common.
bundle=${SCHEDULER_BUNDLE:?}
batch_id=$(uname -n):$$
index=$((${SCHEDULER_ELEMENT:?} - ${first:-0}))
element=2
attempt=0

payload() {
  export JOB_ID=b0-2
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='epic $x'
  printf '%s\0' maps/field.map >"$control/inputs"
  { mkdir -p ./maps && rm -rf ./maps/field.map && cp -R "$shared/1" ./maps/field.map; } || cannot_start "the input files cannot be copied to $dir"
  exec bash "$shared/0" --z1 2 '<>'
}

. "$bundle/harness.sh"
##### batches/0/script.sh
#!/bin/bash
# b0-0.abcdefghjk-0: an array. Each job has its own script.
first=0
bundle=${SCHEDULER_BUNDLE:?}
batch_id=$(uname -n):$$
index=$((${SCHEDULER_ELEMENT:?} - ${first:-0}))
. "$bundle/element.sh"
unpack_element "$bundle" "$first" $((first + index)) || exit   # it has printed why
. "$bundle/$((first + index))/script.sh"
