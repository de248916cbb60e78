# Lists the bundles in the work_dir that a ledger does not know. It changes nothing.
#   $1 work_dir
# Reads the tokens of the bundles that the ledger knows, a line for each. Prints lines with fields separated by tabs:
#   known  TOKEN
#   bundle TOKEN  FOLDER  first word of its directives, or empty  "function" if it has Python functions  time in seconds since 1970
#   jobs   TOKEN  the file jobs.json
#   batch  TOKEN  FIRST  how many jobs  NAME  "packed" or empty  exit code, "tried" or "never"  output
#   job    TOKEN  ELEMENT  FIRST  JOB_ID=…  dir=…  output NUMBER PATTERN … (only without jobs.json: an earlier version)
work=$1
cd "$work" 2>/dev/null || die "cannot enter the work_dir $work: nothing was submitted to it, or it is another one"
work=$(pwd -P)
known=" $(tr '\n' ' ') "
time_of() { stat -c %Y "$1" 2>/dev/null || stat -f %m "$1"; }
# The first word of the directives in the script of bundle $1, such as "#SBATCH"; empty: it has none.
directive_of() { sed -n 's/^\(#[A-Z][A-Z]*\) .*/\1/p' "$1/$(head -n 1 "$1/batches/list" | cut -f 3)" | head -n 1; }
one_line() { tr '\n\t' '  ' | sed 's/ *$//'; }

# Prints what the batch system replied to batch folder $1.
outcome() {
  if [ -s "$1/id" ]; then printf '0\t%s' "$(one_line <"$1/id")"
  elif [ -s "$1/code" ]; then printf '%s\t%s' "$(cat "$1/code")" "$(cat "$1/err" "$1/out" 2>/dev/null | head -c 2000 | one_line)"
  elif [ -e "$1/tried" ]; then printf 'tried\t'
  else printf 'never\t'
  fi
}
# Prints a line for each of the $3 jobs of a batch of an earlier version, whose first one is $2.
jobs_of_scripts() {
  element=$2
  while [ "$element" -lt "$(($2 + $3))" ]; do
    pauses='' unpack_element "$work/$1" "$2" "$element" 2>/dev/null
    printf 'job\t%s\t%s\t%s\t%s\t%s\t%s\n' "$1" "$element" "$2" "$(sed -n 's/^ *export \(JOB_ID=.*\)/\1/p' "$1/$element/script.sh" 2>/dev/null | head -n 1)" \
      "$(sed -n '/^dir=/{p;q;}' "$1/$element/outputs.sh" 2>/dev/null)" "$(sed -n -e 's/^ *output /output /p' -e 's/^ *declared /output /p' "$1/$element/outputs.sh" 2>/dev/null | tr '\n' '\t')"
    element=$((element + 1))
  done
}

for marker in */.scheduler; do
  token=${marker%/.scheduler}
  [ -f "$marker" ] && [ "$(cat "$marker")" = "$token" ] && [ -s "$token/batches/list" ] || continue
  case $known in *" $token "*) printf 'known\t%s\n' "$token"; continue ;; esac
  functions=''
  [ ! -e "$token/run_function.py" ] || functions=function
  printf 'bundle\t%s\t%s\t%s\t%s\t%s\n' "$token" "$work/$token" "$(directive_of "$token")" "$functions" "$(time_of "$marker")"
  [ ! -s "$token/jobs.json" ] || printf 'jobs\t%s\t%s\n' "$token" "$(one_line <"$token/jobs.json")"
  while IFS=$tab read -r first count _; do
    b=$token/batches/$first packed=''
    if [ -e "$b/members" ]; then packed=packed count=$(($(wc -l <"$b/members"))); fi
    printf 'batch\t%s\t%s\t%s\t%s\t%s\t%s\n' "$token" "$first" "$count" "$(one_line <"$b/name")" "$packed" "$(outcome "$b")"
    [ -s "$token/jobs.json" ] || jobs_of_scripts "$token" "$first" "$count"
  done <"$token/batches/list"
done
