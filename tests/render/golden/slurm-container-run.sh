##### 0/outputs.sh
dir="$control/dir"
outputs() {
  :
}
##### 0/script.sh
#!/bin/bash
#SBATCH --account             eic
#SBATCH --cpus-per-task       1
#SBATCH --gres=disk:4G
#SBATCH --job-name            b0-4.abcdefghjk-0
#SBATCH --mem                 3072M
#SBATCH --no-requeue
#SBATCH --open-mode           append
#SBATCH --output              batches/0/log.0
#SBATCH --partition           production
#SBATCH --time                04:00:00
# b0-4.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SLURM_SUBMIT_DIR:?}
batch_id=${SLURM_JOB_ID:?}
[ -z "${scheduler_task:-}" ] || batch_id=${SLURM_ARRAY_JOB_ID:?}_$scheduler_task
element=0
attempt=${SLURM_RESTART_COUNT:-0}

payload() {
  export JOB_ID=b0-4
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='it'\''s'
  export SITE_VALUE='it'\''s $HOME'
  command -v module >/dev/null 2>&1 || . /etc/profile
  module load gcc/12.2 apptainer || cannot_start "module load failed: "'gcc/12.2 apptainer'
ulimit -c 0
export MORE=1
  image=docker://eicweb/eic_xl
  command -v apptainer >/dev/null 2>&1 ||
    cannot_start "apptainer is not installed on $(uname -n): the site's container.runtime or container.modules are wrong"
  export APPTAINERENV_DETECTOR='it'\''s'
  export APPTAINERENV_JOB_ID=b0-4
  export APPTAINERENV_SITE_VALUE='it'\''s $HOME'
  export APPTAINERENV_JOB_DIR="$JOB_DIR" APPTAINERENV_JOB_PARAMS_FILE="$JOB_PARAMS_FILE"
  case $bundle$dir in *[:,]*) cannot_start "a folder with : or , in its name cannot be bound: $dir" ;; esac
  [ -n "${SCRATCH:-}" ] || cannot_start "SCRATCH is not set on $(uname -n), but container.binds uses it"
  printf '%s\n' "apptainer could not start the container on $(uname -n)" run >"$bundle/$element/starting" 2>/dev/null
  exec apptainer run --no-eval --cleanenv --bind /cvmfs --bind "${SCRATCH:?is not set on the cluster, but container.binds uses it}":/scratch --bind "$bundle" --bind "$dir" --pwd "$dir" "$image" '3 events'
}

. "$bundle/harness.sh"
