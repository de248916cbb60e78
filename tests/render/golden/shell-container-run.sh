##### 0/outputs.sh
dir=/home/me/b0-4
outputs() {
  :
}
##### 0/script.sh
#!/bin/bash
# b0-4.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SCHEDULER_BUNDLE:?}
batch_id=$(uname -n):$$
index=$((${SCHEDULER_ELEMENT:?} - ${first:-0}))
element=0
attempt=0

payload() {
  export JOB_ID=b0-4
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='it'\''s'
  image=docker://eicweb/eic_xl
  command -v apptainer >/dev/null 2>&1 ||
    cannot_start "apptainer is not installed on $(uname -n): the site's container.runtime or container.modules are wrong"
  export APPTAINERENV_DETECTOR='it'\''s'
  export APPTAINERENV_JOB_ID=b0-4
  export APPTAINERENV_JOB_DIR="$JOB_DIR" APPTAINERENV_JOB_PARAMS_FILE="$JOB_PARAMS_FILE"
  case $bundle$dir in *[:,]*) cannot_start "a folder with : or , in its name cannot be bound: $dir" ;; esac
  printf '%s\n' "apptainer could not start the container on $(uname -n)" run >"$bundle/$element/starting" 2>/dev/null
  exec apptainer run --no-eval --bind "$bundle" --bind "$dir" --pwd "$dir" "$image" '3 events'
}

. "$bundle/harness.sh"
