# Shared by the scripts of the test cluster: its names and folders, and how to enter and stop it. Sourced, never run.
# shellcheck shell=bash disable=SC2034  # the sourcing scripts use these names

place=${SCHEDULER_TEST_CLUSTER:-/var/tmp/scheduler-test-cluster}
place=${place%/}
root=$place/root
number=$(($(printf %s "$place" | cksum | cut -d' ' -f1) % 254 + 1)) # computed from the folder: two folders, two clusters
net=10.83.$number
name=schedtest-$number # of the network namespace and of the local end of the veth pair
readonly place root number net name

say() { echo "test cluster: $*" >&2; }
fail() { say "$*"; exit 1; }
skip() { say "$*"; exit 77; } # the exit code that automake and others use for "skipped"

case $place in
  *[!A-Za-z0-9._/-]* | [!/]*) fail "the folder '$place' must be an absolute path of letters, digits and ._- only" ;;
esac
[ "$(id -u)" = 0 ] || skip "this needs root, for network namespaces and mounts"

# Prints the local pid of process 1 of the cluster; nothing if the cluster is down.
init_pid() {
  local pid
  for pid in $(ip netns pids "$name" 2>/dev/null); do
    if grep -qsE '^NSpid:\s+[0-9]+\s+1$' "/proc/$pid/status"; then echo "$pid"; fi
  done
}

# Runs a command as root in the cluster, without this shell's environment.
inside() {
  local pid
  pid=$(init_pid)
  [ -n "$pid" ] || { say "the cluster is down"; return 1; }
  nsenter --target "$pid" --mount --uts --ipc --net --pid --root --wd \
    env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM="${TERM:-dumb}" LC_ALL=C.UTF-8 "$@"
}

# lock NAME: lets one script at a time work on the cluster, and one on its images.
lock() {
  mkdir -p "$place"
  exec 9>"$place/lock.$1"
  flock -n 9 || { say "waiting for another script that works on $place"; flock 9; }
}

# Kills the processes of the cluster's network namespace and no others, then removes the namespace.
stop_cluster() {
  signal_all CONT || true
  signal_all TERM || true # process 1 of the cluster ignores it
  for _ in $(seq 100); do [ "$(ip netns pids "$name" 2>/dev/null | wc -l)" -le 2 ] && break; sleep 0.05; done
  for _ in $(seq 100); do signal_all KILL || break; sleep 0.05; done
  ! signal_all KILL || fail "a process of $name does not end: $(ip netns pids "$name" | xargs)"
  ip link del "$name" 2>/dev/null || true
  ip netns del "$name" 2>/dev/null || rm -f "/run/netns/$name"
}

# Sends a signal to every process of the namespace; false if there is none.
signal_all() {
  local pids
  mapfile -t pids < <(ip netns pids "$name" 2>/dev/null)
  [ ${#pids[@]} -gt 0 ] || return 1
  kill -s "$1" "${pids[@]}" 2>/dev/null || true
}

# Unmounts everything below a folder, then removes the folder.
remove_tree() {
  local mounts
  mounts=$(findmnt -rno TARGET | grep -E "^$1(/|\$)" | sort -r || true)
  [ -z "$mounts" ] || xargs -r umount -l <<<"$mounts"
  ! findmnt -rno TARGET | grep -qE "^$1(/|\$)" || fail "something is mounted below $1 and cannot be unmounted"
  rm -rf --one-file-system "$1"
}

# Fails if a cluster of another folder has the same number.
check_owner() {
  local owner
  owner=$(ip -o link show dev "$name" 2>/dev/null | sed -n 's/.*\balias //p') || true
  [ -z "$owner" ] || [ "$owner" = "$place" ] ||
    fail "$name belongs to the cluster of $owner; set SCHEDULER_TEST_CLUSTER to a folder of another name"
}
