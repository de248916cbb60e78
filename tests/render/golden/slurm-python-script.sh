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
#SBATCH --job-name            b0-2.abcdefghjk-0
#SBATCH --mem                 3072M
#SBATCH --no-requeue
#SBATCH --open-mode           append
#SBATCH --output              batches/0/log.0
#SBATCH --partition           production
#SBATCH --time                04:00:00
# b0-2.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SLURM_SUBMIT_DIR:?}
batch_id=${SLURM_JOB_ID:?}
[ -z "${scheduler_task:-}" ] || batch_id=${SLURM_ARRAY_JOB_ID:?}_$scheduler_task
element=0
attempt=${SLURM_RESTART_COUNT:-0}

payload() {
  export JOB_ID=b0-2
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export SITE_VALUE='it'\''s $HOME'
  command -v module >/dev/null 2>&1 || . /etc/profile
  module load gcc/12.2 || cannot_start "module load failed: "gcc/12.2
ulimit -c 0
export MORE=1
  command -v "${HOME:?is not set on the cluster, but python uses it}"'/my python/bin/python3' >/dev/null 2>&1 || cannot_start "there is no" "${HOME:?is not set on the cluster, but python uses it}"'/my python/bin/python3' "on $(uname -n): the site's python or modules are wrong"
  exec "${HOME:?is not set on the cluster, but python uses it}"'/my python/bin/python3' "$shared/0"
}

. "$bundle/harness.sh"
