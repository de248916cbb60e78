##### 0/outputs.sh
dir="$control/dir"
outputs() {
  :
}
##### 0/script.sh
#!/bin/bash
#PBS -N b0-5.abcdefghjk-0
#PBS -j oe
#PBS -o batches/0/log.0
#PBS -r n
#PBS -l select=1:ncpus=32:system=polaris
#PBS -l walltime=01:00:00
#PBS -A EIC
#PBS -q preemptable
#PBS -l filesystems=home:eagle
# b0-5.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SCHEDULER_BUNDLE:-${PBS_O_WORKDIR:?}}
batch_id=${PBS_JOBID:?}
element=0
# PBS does not report how often a job was started: the first free number is this attempt.
attempt=0
until mkdir "$bundle/$element/began.$attempt" 2>/dev/null || [ ! -d "$bundle/$element/began.$attempt" ]; do
  attempt=$((attempt + 1))
done

payload() {
  export JOB_ID=b0-5
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  command -v module >/dev/null 2>&1 || . /etc/profile
  module load spack-pe-base || cannot_start "module load failed: "spack-pe-base
  command -v python3 >/dev/null 2>&1 || cannot_start "there is no" python3 "on $(uname -n): the site's python or modules are wrong"
  exec python3 -u "$bundle/run_function.py" "$bundle/$element"
}

. "$bundle/harness.sh"
