# Lists all descendants of the process $1. They must be killed with it: a process whose parent has ended cannot be found
# any more, and not every batch system kills it.
family() {
  ps -e -o pid= -o ppid= 2>/dev/null | awk -v first="$1" '{ parent[$1] = $2 }
    END { for (p in parent) { n = 0; for (q = p; q != first && (q in parent) && n < 1000; q = parent[q]) n++; if (q == first) print p } }'
}

# Prints the signals that a batch system can send to a script and that do not end the job: warnings that its user asked
# for, with the real-time signals. A shell may not know some of the last ones, and dash would end at an unknown one.
other_signals() {
  echo HUP QUIT USR1 USR2 ALRM VTALRM PROF CONT TSTP TTIN TTOU URG WINCH ABRT TRAP
  some='16 IO PWR 34 35 36 37 38 39 40 41 42 43 44 45 46 47 48 49 50 51 52 53 54 55 56 57 58 59 60 61 62 63 64'
  # shellcheck disable=SC2086,SC2064
  (trap : $some) 2>/dev/null && echo "$some"
}
