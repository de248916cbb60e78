# Builds Debian roots: installs missing tools, finds a mirror, runs mmdebstrap. Sourced, never run.
# shellcheck shell=bash disable=SC2154  # names.sh has been sourced before

# need THING[:PACKAGE]...: installs the packages of the commands and files that are missing.
need() {
  local item missing=()
  for item; do command -v "${item%:*}" >/dev/null || [ -e "${item%:*}" ] || missing+=("${item#*:}"); done
  [ ${#missing[@]} -gt 0 ] || return 0
  say "installing ${missing[*]}"
  {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"
  } </dev/null >"$place/apt.log" 2>&1 || fail "apt-get could not install ${missing[*]}: see $place/apt.log"
}

# Prints the first of this machine's package sources that carries a suite of Debian.
debian_mirror() {
  local uri sources probe
  # shellcheck disable=SC2016  # apt-get's own variable
  sources=${SCHEDULER_TEST_MIRROR:-$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' | sort -u)}
  probe=$(mktemp)
  for uri in $sources; do
    uri=${uri%/}
    if /usr/lib/apt/apt-helper download-file "$uri/dists/$1/Release" "$probe" >/dev/null 2>&1 &&
      grep -qx "Codename: $1" "$probe"; then
      rm "$probe"
      echo "$uri"
      return
    fi
  done
  rm "$probe"
  skip "no source in this machine's apt configuration carries Debian $1; name one in SCHEDULER_TEST_MIRROR"
}

# debian_into FOLDER SUITE PACKAGES [OPTION...] -- SOURCE...
debian_into() {
  local folder=$1 suite=$2 packages=$3 options=() proxy
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg
  need mmdebstrap "$keyring:debian-archive-keyring"
  shift 3
  while [ "$1" != -- ]; do options+=("$1"); shift; done
  shift
  while read -r proxy; do options+=(--aptopt="$proxy"); done < <(apt-config dump | grep -iE '^Acquire::https?::.*Proxy' || true)
  mmdebstrap --mode=root --format=directory --include="$packages" "${options[@]}" \
    --aptopt='Acquire::Languages "none"' --dpkgopt=force-unsafe-io \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' \
    --dpkgopt='path-exclude=/usr/share/locale/*' \
    --keyring="$keyring" \
    "$suite" "$folder" "$@" </dev/null >"$place/build.log" 2>&1 ||
    fail "mmdebstrap could not build $folder: $(grep -m1 '^E:' "$place/build.log" || true) (see $place/build.log)"
}
