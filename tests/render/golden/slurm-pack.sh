##### 0/outputs.sh
dir="$control/dir"
outputs() {
  :
  declared 0 '*.root' '*.root' '*.root'
  declared 1 'hists/**/*.json' 'hists/**/*.json' 'hists/**/*.json'
  declared 2 'it['\'']s [a-c].txt' 'it['\'']s [a-c].txt' 'it?*s ?*.txt'
  declared 3 'deep/**' 'deep/**' 'deep/**'
}
##### 0/script.sh
#!/bin/bash
#SBATCH --account             eic
#SBATCH --cpus-per-task       64
#SBATCH --gres=disk:4G
#SBATCH --job-name            b0-0.abcdefghjk-0
#SBATCH --mem                 6144M
#SBATCH --no-requeue
#SBATCH --open-mode           append
#SBATCH --output              batches/0/log.0
#SBATCH --partition           production
#SBATCH --time                02:00:00
# b0-0.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SLURM_SUBMIT_DIR:?}
batch_id=${SLURM_JOB_ID:?}
[ -z "${scheduler_task:-}" ] || batch_id=${SLURM_ARRAY_JOB_ID:?}_$scheduler_task
element=0
attempt=${SLURM_RESTART_COUNT:-0}

payload() {
  export JOB_ID=b0-1
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='epic $x'
  export SITE_VALUE='it'\''s $HOME'
  command -v module >/dev/null 2>&1 || . /etc/profile
  module load gcc/12.2 || cannot_start "module load failed: "gcc/12.2
ulimit -c 0
export MORE=1
  { mkdir -p ./maps && rm -rf ./maps/field.map && cp -R "$shared/1" ./maps/field.map; } || cannot_start "the input files cannot be copied to $dir"
  exec bash "$shared/0" --z1 10 '<it'\''s>'
}

. "$bundle/harness.sh"
##### 1/outputs.sh
dir="$control/dir"
outputs() {
  :
  declared 0 '*.root' '*.root' '*.root'
  declared 1 'hists/**/*.json' 'hists/**/*.json' 'hists/**/*.json'
  declared 2 'it['\'']s [a-c].txt' 'it['\'']s [a-c].txt' 'it?*s ?*.txt'
  declared 3 'deep/**' 'deep/**' 'deep/**'
}
##### 1/script.sh
#!/bin/bash
#SBATCH --account             eic
#SBATCH --cpus-per-task       64
#SBATCH --gres=disk:4G
#SBATCH --job-name            b0-0.abcdefghjk-0
#SBATCH --mem                 6144M
#SBATCH --no-requeue
#SBATCH --open-mode           append
#SBATCH --output              batches/0/log.0
#SBATCH --partition           production
#SBATCH --time                02:00:00
# b0-0.abcdefghjk-0, job 1. harness.sh has what all jobs have in common.
bundle=${SLURM_SUBMIT_DIR:?}
batch_id=${SLURM_JOB_ID:?}
[ -z "${scheduler_task:-}" ] || batch_id=${SLURM_ARRAY_JOB_ID:?}_$scheduler_task
element=1
attempt=${SLURM_RESTART_COUNT:-0}

payload() {
  export JOB_ID=b0-0
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='epic $x'
  export SITE_VALUE='it'\''s $HOME'
  command -v module >/dev/null 2>&1 || . /etc/profile
  module load gcc/12.2 || cannot_start "module load failed: "gcc/12.2
ulimit -c 0
export MORE=1
  { mkdir -p ./maps && rm -rf ./maps/field.map && cp -R "$shared/1" ./maps/field.map; } || cannot_start "the input files cannot be copied to $dir"
  exec bash "$shared/0" --z1 10 '<it'\''s>'
}

. "$bundle/harness.sh"
##### batches/0/script.sh
#!/bin/bash
#SBATCH --account             eic
#SBATCH --cpus-per-task       64
#SBATCH --gres=disk:4G
#SBATCH --job-name            b0-0.abcdefghjk-0
#SBATCH --mem                 6144M
#SBATCH --no-requeue
#SBATCH --open-mode           append
#SBATCH --output              batches/0/log.0
#SBATCH --partition           production
#SBATCH --time                02:00:00
# b0-0.abcdefghjk-0: jobs that share a node. Each job has its own script.
first=0
bundle=${SLURM_SUBMIT_DIR:?}
index=0
batch_id=${SLURM_JOB_ID:?}
[ -z "${scheduler_task:-}" ] || batch_id=${SLURM_ARRAY_JOB_ID:?}_$scheduler_task
. "$bundle/pack.sh"
