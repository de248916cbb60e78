##### 0/environment.sh
export JOB_ID=b0-3
export JOB_DIR="$1" JOB_PARAMS_FILE="$2"
export DETECTOR='it'\''s'
export SITE_VALUE='it'\''s $HOME'
##### 0/outputs.sh
dir="$control/dir"
outputs() {
  :
}
##### 0/script.sh
#!/bin/bash
#SBATCH --account             eic
#SBATCH --cpus-per-task       4
#SBATCH --gpus-per-node       1
#SBATCH --gres=disk:4G
#SBATCH --job-name            b0-3.abcdefghjk-0
#SBATCH --mem                 3072M
#SBATCH --no-requeue
#SBATCH --open-mode           append
#SBATCH --output              batches/0/log.0
#SBATCH --partition           production
#SBATCH --time                04:00:00
# b0-3.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SLURM_SUBMIT_DIR:?}
batch_id=${SLURM_JOB_ID:?}
[ -z "${scheduler_task:-}" ] || batch_id=${SLURM_ARRAY_JOB_ID:?}_$scheduler_task
element=0
attempt=${SLURM_RESTART_COUNT:-0}

payload() {
  export JOB_ID=b0-3
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='it'\''s'
  export SITE_VALUE='it'\''s $HOME'
  command -v module >/dev/null 2>&1 || . /etc/profile
  module load gcc/12.2 apptainer || cannot_start "module load failed: "'gcc/12.2 apptainer'
ulimit -c 0
export MORE=1
  image=/cvmfs/eic/eic_xl:26.05
  command -v apptainer >/dev/null 2>&1 ||
    cannot_start "apptainer is not installed on $(uname -n): the site's container.runtime or container.modules are wrong"
  [ -e "$image" ] || cannot_start "container image $image does not exist on $(uname -n)"
  case $bundle$dir in *[:,]*) cannot_start "a folder with : or , in its name cannot be bound: $dir" ;; esac
  [ -n "${SCRATCH:-}" ] || cannot_start "SCRATCH is not set on $(uname -n), but container.binds uses it"
  printf '%s\n' "apptainer could not start the container on $(uname -n)" >"$bundle/$element/starting" 2>/dev/null
  exec apptainer exec --cleanenv --bind /cvmfs --bind "${SCRATCH:?is not set on the cluster, but container.binds uses it}":/scratch --bind "$bundle" --bind "$dir" --pwd "$dir" "$image" sh -c ': >"${0%/*}/starting"
unset BASH_ENV
. "$0"
! command -v bash >/dev/null 2>&1 || exec bash -o pipefail -c "$3" "$0" "$1" "$2"
exec sh -c "$3" "$0" "$1" "$2"' "$bundle/$element/environment.sh" "$JOB_DIR" "$JOB_PARAMS_FILE" 'npsim --compactFile '\''epic craterlake.xml'\'' -N 500 --outputFile "it'\''s \$x.root" $(nproc) '\''a b'\'''
}

. "$bundle/harness.sh"
