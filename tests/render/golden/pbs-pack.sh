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
#PBS -N b0-0.abcdefghjk-0
#PBS -j oe
#PBS -o batches/0/log.0
#PBS -r n
#PBS -l select=1:ncpus=64:system=polaris
#PBS -l walltime=02:00:00
#PBS -A EIC
#PBS -q preemptable
#PBS -l filesystems=home:eagle
# b0-0.abcdefghjk-0, job 0. harness.sh has what all jobs have in common.
bundle=${SCHEDULER_BUNDLE:-${PBS_O_WORKDIR:?}}
batch_id=${PBS_JOBID:?}
element=0
# PBS does not report how often a job was started: the first free number is this attempt.
attempt=0
until mkdir "$bundle/$element/began.$attempt" 2>/dev/null || [ ! -d "$bundle/$element/began.$attempt" ]; do
  attempt=$((attempt + 1))
done

payload() {
  export JOB_ID=b0-1
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='epic $x'
  command -v module >/dev/null 2>&1 || . /etc/profile
  module load spack-pe-base || cannot_start "module load failed: "spack-pe-base
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
#PBS -N b0-0.abcdefghjk-0
#PBS -j oe
#PBS -o batches/0/log.0
#PBS -r n
#PBS -l select=1:ncpus=64:system=polaris
#PBS -l walltime=02:00:00
#PBS -A EIC
#PBS -q preemptable
#PBS -l filesystems=home:eagle
# b0-0.abcdefghjk-0, job 1. harness.sh has what all jobs have in common.
bundle=${SCHEDULER_BUNDLE:-${PBS_O_WORKDIR:?}}
batch_id=${PBS_JOBID:?}
element=1
# PBS does not report how often a job was started: the first free number is this attempt.
attempt=0
until mkdir "$bundle/$element/began.$attempt" 2>/dev/null || [ ! -d "$bundle/$element/began.$attempt" ]; do
  attempt=$((attempt + 1))
done

payload() {
  export JOB_ID=b0-0
  export JOB_DIR="$dir"
  export JOB_PARAMS_FILE="$bundle/$element/params.json"
  export DETECTOR='epic $x'
  command -v module >/dev/null 2>&1 || . /etc/profile
  module load spack-pe-base || cannot_start "module load failed: "spack-pe-base
  { mkdir -p ./maps && rm -rf ./maps/field.map && cp -R "$shared/1" ./maps/field.map; } || cannot_start "the input files cannot be copied to $dir"
  exec bash "$shared/0" --z1 10 '<it'\''s>'
}

. "$bundle/harness.sh"
##### batches/0/script.sh
#!/bin/bash
#PBS -N b0-0.abcdefghjk-0
#PBS -j oe
#PBS -o batches/0/log.0
#PBS -r n
#PBS -l select=1:ncpus=64:system=polaris
#PBS -l walltime=02:00:00
#PBS -A EIC
#PBS -q preemptable
#PBS -l filesystems=home:eagle
# b0-0.abcdefghjk-0: jobs that share a node. Each job has its own script.
first=0
bundle=${SCHEDULER_BUNDLE:-${PBS_O_WORKDIR:?}}
batch_id=${PBS_JOBID:?}
index=0
. "$bundle/pack.sh"
