##### 0/environment.sh
export JOB_ID=b0-3
export JOB_DIR="$1" JOB_PARAMS_FILE="$2"
export DETECTOR='it'\''s'
##### 0/outputs.sh
dir="$control/dir"
outputs() {
  :
}
##### 0/script.sh
#!/bin/bash
#PBS -N b0-3.abcdefghjk-0
#PBS -j oe
#PBS -o batches/0/log.0
#PBS -r n
#PBS -l select=1:ncpus=4:ngpus=1:system=polaris
#PBS -l walltime=01:00:00
#PBS -A EIC
#PBS -q preemptable
#PBS -l filesystems=home:eagle
# b0-3.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SCHEDULER_BUNDLE:-${PBS_O_WORKDIR:?}}
batch_id=${PBS_JOBID:?}
element=0
# PBS does not report how often a job was started: the first free number is this attempt.
attempt=0
until mkdir "$bundle/$element/began.$attempt" 2>/dev/null || [ ! -d "$bundle/$element/began.$attempt" ]; do
  attempt=$((attempt + 1))
done

payload() {
  export JOB_ID=b0-3
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='it'\''s'
  command -v module >/dev/null 2>&1 || . /etc/profile
  module load spack-pe-base apptainer || cannot_start "module load failed: "'spack-pe-base apptainer'
  image=/cvmfs/eic/eic_xl:26.05
  command -v apptainer >/dev/null 2>&1 ||
    cannot_start "apptainer is not installed on $(uname -n): the site's container.runtime or container.modules are wrong"
  [ -e "$image" ] || cannot_start "container image $image does not exist on $(uname -n)"
  case $bundle$dir in *[:,]*) cannot_start "a folder with : or , in its name cannot be bound: $dir" ;; esac
  printf '%s\n' "apptainer could not start the container on $(uname -n)" >"$bundle/$element/starting" 2>/dev/null
  exec apptainer exec --bind "$bundle" --bind "$dir" --pwd "$dir" "$image" sh -c ': >"${0%/*}/starting"
unset BASH_ENV
. "$0"
! command -v bash >/dev/null 2>&1 || exec bash -o pipefail -c "$3" "$0" "$1" "$2"
exec sh -c "$3" "$0" "$1" "$2"' "$bundle/$element/environment.sh" "$JOB_DIR" "$JOB_PARAMS_FILE" 'npsim --compactFile '\''epic craterlake.xml'\'' -N 500 --outputFile "it'\''s \$x.root" $(nproc) '\''a b'\'''
}

. "$bundle/harness.sh"
