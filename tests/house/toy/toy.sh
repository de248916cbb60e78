# The toy batch system: every array task is a process that starts at once.
unfinished='^[^|]*[|][^|]*[|](WAIT|RUN)[|]'

batch_submit() {
  grep -q "^#TOY tasks=$3\$" "$1" || { echo "toyq: the script does not say how many tasks it has" >&2; return 3; }
  id=toy-$(basename "$PWD")-$2
  index=0
  while [ "$index" -lt "$3" ]; do
    TOY_ID=$id TOY_BUNDLE=$PWD TOY_TASK=$index sh toy_start.sh "$1" "batches/$2" "$index" >>"batches/$2/log.$index" 2>&1 </dev/null &
    index=$((index + 1))
  done
  echo "$id"
}
batch_prepare() { :; }
batch_submitted() { :; }
batch_id() { sed -n '/^toy-[a-z0-9-]*$/p'; }

# Whether the process in this file is running; a zombie is not.
toy_runs() {
  case $(ps -o stat= -p "$(cat "$1")" 2>/dev/null) in '' | Z*) return 1 ;; esac
}
toy_indices() { awk "$awk_numbers"'BEGIN { numbers(ARGV[1], some); for (i in some) print i }' "$1"; }

# Lines: name|index|state|id. A task whose process has ended has none.
batch_live() {
  while IFS=$tab read -r _ folder name id first indices _; do
    for index in $(toy_indices "$indices"); do
      task=$folder/batches/$first
      if [ ! -s "$task/pid.$index" ]; then word=WAIT
      elif toy_runs "$task/pid.$index"; then word=RUN
      elif [ -e "$task/stop.$index" ]; then word=STOPPED
      else continue; fi
      echo "$name|$index|$word|$id"
    done
  done <"$1"
}
batch_history() { echo "toyq: no accounting" >&2; return 1; }

batch_cancel() {
  while IFS=$tab read -r folder _ _ first indices; do
    for index in $(toy_indices "${indices:-0}"); do
      task=$folder/batches/$first
      : >"$task/stop.$index"
      [ ! -s "$task/pid.$index" ] || kill "$(cat "$task/pid.$index")" 2>/dev/null
    done
  done <"$1"
  return 0
}

batch_check() {
  printf 'version\ttoyq 1.0\n'
  fact live 0 ''
}
