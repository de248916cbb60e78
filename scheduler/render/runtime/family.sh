# Lists all descendants of the process $1. They must be killed with it: a process whose parent has ended cannot be found
# any more, and not every batch system kills it.
family() {
  ps -e -o pid= -o ppid= 2>/dev/null | awk -v first="$1" '{ parent[$1] = $2 }
    END { for (p in parent) { n = 0; for (q = p; q != first && (q in parent) && n < 1000; q = parent[q]) n++; if (q == first) print p } }'
}
