# The environment of every program of ours. This list is the only one: it comes first in each program, and the command that
# submits a batch runs in the same environment (`as_login`). Three kinds of variables:
#   of an enclosing job    we may be called from inside a job: what describes that job must not reach ours. Unset.
#   for our own commands   they change what squeue, ls, tar, … do or print. Unset, and set again by `as_login`.
#   all others             what reaches the controller (SLURM_CONF, PBS_SERVER, …), and what the user has set. Kept.
login_names=''   # the variables that `as_login` sets again; the value of NAME is in login_NAME
set_aside() {
  eval "[ -n \"\${$1+set}\" ]" || return   # gawk invents variables
  eval "login_$1=\$$1"
  login_names="$login_names $1"
  unset "$1"
}
in_job=''
# shellcheck disable=SC2013
for name in $(awk 'BEGIN { for (name in ENVIRON) if (name ~ /^[A-Za-z_][A-Za-z0-9_]*$/) print name }' </dev/null); do
  case $name in SLURM_JOB_ID | PBS_JOBID | _CONDOR_SCRATCH_DIR) in_job=1 ;; esac
  case $name in
    # Where the batch system is and how to reach it, and what its users set for srun.
    SLURM_CONF | SLURM_CONF_SERVER | SLURM_JWT | SLURM_SACK_* | SLURM_MPI_TYPE) ;;
    SLURM_BASE | SLURM_DIR | SLURM_HOME | SLURM_PATH | SLURM_PREFIX | SLURM_ROOT | SLURM_VERSION) ;;
    PBS_AUTH_METHOD | PBS_BATCH_SERVICE_PORT* | PBS_CONF_FILE | PBS_DEFAULT | PBS_ENCRYPT_* | PBS_EXEC | PBS_HOME) ;;
    PBS_LEAF_* | PBS_PRIMARY | PBS_SECONDARY | PBS_SERVER | PBS_SERVER_HOST_NAME | PBS_SUPPORTED_AUTH_METHODS) ;;
    _CONDOR_AUTH_* | _CONDOR_COLLECTOR_* | _CONDOR_CONDOR_* | _CONDOR_SCHEDD_* | _CONDOR_SEC_* | _CONDOR_SCITOKENS*) ;;
    # Of an enclosing job, whatever runs it, and of MPI in it.
    SLURM_* | SLURMD_* | SRUN_* | PBS_* | _CONDOR_* | LSB_* | SGE_TASK_* | OAR_* | FLUX_JOB_* | FLUX_TASK_*) unset "$name" ;;
    ALPS_* | HYDI_* | HYDRA_* | MPI_LOCAL* | MV2_COMM_* | ORTE_* | PALS_* | PMI_* | PMI2_* | PMIX_* | PRTE_*) unset "$name" ;;
    OMPI_APP_* | OMPI_ARGV | OMPI_COMMAND | OMPI_COMM_* | OMPI_FILE_LOCATION | OMPI_FIRST_RANKS | OMPI_NUM_*) unset "$name" ;;
    OMPI_UNIVERSE_* | OMPI_MCA_ess* | OMPI_MCA_orte* | OMPI_MCA_pmix* | OMPI_MCA_prte*) unset "$name" ;;
    SCHEDULER_BUNDLE | SCHEDULER_ELEMENT | scheduler_task) unset "$name" ;;
    # For our own commands.
    SACCT_* | SACCTMGR_* | SCANCEL_* | SCONTROL_* | SINFO_* | SQUEUE_*) set_aside "$name" ;;
    BLOCKSIZE | BLOCK_SIZE | *_BLOCK_SIZE | COLUMNS | LS_COLORS | LS_OPTIONS | QUOTING_STYLE | TABSIZE | TIME_STYLE) set_aside "$name" ;;
    AWKLIBPATH | AWKPATH | GAWK_* | GREP_* | GZIP | GZIP_OPT | TAPE | TAR_OPTIONS | XZ_* | ZSTD_* | POSIXLY_CORRECT) set_aside "$name" ;;
    _POSIX2_VERSION | CMD_ENV | PS_FORMAT | PS_PERSONALITY | UNIX95 | PERL5DB | PERL5LIB | PERL5OPT) set_aside "$name" ;;
    BASH_ENV | CDPATH | ENV | GLOBIGNORE | SIMPLE_BACKUP_SUFFIX | VERSION_CONTROL | LC_ALL) set_aside "$name" ;;
    TMPDIR) { [ -d "$TMPDIR" ] && [ -w "$TMPDIR" ] && [ -x "$TMPDIR" ]; } || set_aside TMPDIR ;;
  esac
done
[ -z "$in_job" ] || unset CUDA_VISIBLE_DEVICES GPU_DEVICE_ORDINAL HIP_VISIBLE_DEVICES ROCR_VISIBLE_DEVICES ZE_AFFINITY_MASK
# With these options of bash, a script does nothing: no job could run.
# shellcheck disable=SC3028
case :${SHELLOPTS:-}: in *:noexec:* | *:onecmd:*) unset SHELLOPTS 2>/dev/null ;; esac
LC_ALL=C
export LC_ALL

# Runs a command in the environment of the login shell, but for what describes an enclosing job: the payload gets it.
as_login() (
  unset LC_ALL
  # shellcheck disable=SC2163
  for name in $login_names; do eval "$name=\$login_$name"; export "$name"; done
  "$@"
)
