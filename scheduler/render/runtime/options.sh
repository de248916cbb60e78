# Our programs and the scripts of jobs run in a shell that a login file has changed: exported SHELLOPTS, BASHOPTS and functions,
# BASH_ENV, a PATH without the system's folders. What would change or end them early is undone here, first of all.
set +aefmuvxC
# shellcheck disable=SC3040
! (set +o pipefail) 2>/dev/null || set +o pipefail
# shellcheck disable=SC3041
! (set +kt) 2>/dev/null || set +kt
# shellcheck disable=SC3044
! command -v shopt >/dev/null 2>&1 || shopt -u nullglob failglob dotglob nocaseglob nocasematch extglob lastpipe xpg_echo 2>/dev/null
unalias -a 2>/dev/null
# A function with the name of a command of the batch system is the site's, and is kept.
for name in awk basename cat cd chmod command cp cut date dd df dirname echo find getconf grep gzip head id kill ln ls mkdir \
  mktemp mv paste perl printf ps pwd read readlink rm sed setsid sh sha256sum shasum sleep sort stat tail tar test timeout touch \
  tr uname wait wc xargs; do unset -f "$name" 2>/dev/null; done
unset IFS
command -v awk >/dev/null 2>&1 && command -v mkdir >/dev/null 2>&1 || PATH=${PATH:+$PATH:}/usr/bin:/bin
export PATH
