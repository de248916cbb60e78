##### 0/outputs.sh
dir=/home/me/b0-2
outputs() {
  :
}
##### 0/script.sh
#!/bin/bash
# b0-2.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SCHEDULER_BUNDLE:?}
batch_id=$(uname -n):$$
index=$((${SCHEDULER_ELEMENT:?} - ${first:-0}))
element=0
attempt=0

payload() {
  export JOB_ID=b0-2
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  command -v python3 >/dev/null 2>&1 || cannot_start "there is no" python3 "on $(uname -n): the site's python or modules are wrong"
  exec python3 "$shared/0"
}

. "$bundle/harness.sh"
