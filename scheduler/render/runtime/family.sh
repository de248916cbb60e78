# All processes below one. Not every batch system ends them with the job: a child whose parent has gone may not be found
# any more.  $1 the process
family() {
  ps -e -o pid= -o ppid= 2>/dev/null | awk -v first="$1" '{ parent[$1] = $2 }
    END { for (p in parent) { n = 0; for (q = p; q != first && (q in parent) && n < 1000; q = parent[q]) n++; if (q == first) print p } }'
}
