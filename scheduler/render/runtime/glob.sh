# Finds the files that a declared output means: as Python's glob, except that a wildcard follows no link to a folder.
# Whoever calls `matching` has set LC_ALL=C and defined
#   hit FILE           a file or folder that matches
#   follows LINK       may the pattern, which names this link to a folder, follow it?
#   unreadable FOLDER  a folder whose files cannot be listed
# A class and a "?" match one byte. So the pattern is given twice: for names of printable ASCII characters, where it means
# what it means to Python; and for other names, where it matches more: the listing is compared with the pattern locally.

# Calls `hit` for all matches in a folder.
#   $1 the folder  $2 the pattern for ASCII names  $3 the pattern for other names
matching() {
  case $2 in
    */*) set -- "$1" "${2%%/*}" "${3%%/*}" "${2#*/}" "${3#*/}" ;;
    *) set -- "$1" "$2" "$3" '' '' ;;
  esac
  [ -x "$1" ] || { unreadable "$1"; return 0; }
  case $2 in
    '**')
      [ -n "$4" ] || { hit "$1"; return 0; }
      [ -r "$1" ] || { unreadable "$1"; return 0; }
      matching "$1" "$4" "$5"
      for entry in "$1"/*; do
        [ ! -d "$entry" ] || [ -L "$entry" ] || matching "$entry" "**/$4" "**/$5"
      done
      ;;
    *['*?[']*)
      [ -r "$1" ] || { unreadable "$1"; return 0; }
      visible='*'
      case $2 in .*) visible='.*' ;; esac
      for entry in "$1"/$visible; do
        # shellcheck disable=SC2254
        case ${entry##*/} in
          . | ..) continue ;;
          *[!\ -~]*) case ${entry##*/} in $3) ;; *) continue ;; esac ;;
          $2) ;;
          *) continue ;;
        esac
        if [ ! -d "$entry" ]; then
          [ -n "$4" ] || [ ! -f "$entry" ] || hit "$entry"
        elif [ ! -L "$entry" ]; then
          if [ -z "$4" ]; then hit "$entry"; else matching "$entry" "$4" "$5"; fi
        fi
      done
      ;;
    *)
      [ -e "$1/$2" ] || return 0
      [ ! -L "$1/$2" ] || [ ! -d "$1/$2" ] || follows "$1/$2" || return 0
      if [ -z "$4" ]; then hit "$1/$2"; elif [ -d "$1/$2" ]; then matching "$1/$2" "$4" "$5"; fi
      ;;
  esac
}
