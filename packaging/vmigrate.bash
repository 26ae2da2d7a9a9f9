# shellcheck shell=bash
# bash completion of vmigrate(1). The program itself is the source: commands and options are what its --help
# says, VMs what `vmigrate list` does, hosts what `vmigrate peers list` does.

_vmigrate_help() { vmigrate "$@" --help 2>/dev/null; }

_vmigrate_commands() {
  _vmigrate_help | sed -n '/^Subcommands:/,/^$/s/^  \([a-z][a-z, ]*[a-z]\)  .*/\1/p' | tr -d ,
}

_vmigrate_vms() { vmigrate list -o ndjson 2>/dev/null | sed -n 's/^{"name":"\([^"\\]*\)".*/\1/p'; }

_vmigrate_hosts() { vmigrate peers list -o ndjson 2>/dev/null | sed -n 's/^{"name":"\([^"\\]*\)".*/\1/p'; }

_vmigrate() {
  local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  local command='' position=0 index word words=''
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=${COMP_WORDS[index]}
    case $word in
      -o | --output | --socket | --max-pause | --bandwidth | --finish-by | --max-slowdown | --on-stall | --i-have-fenced | --address | --since | --vm | --user | -n | --limit) ((index++)) ;;
      -*) ;;
      *) if [[ -z $command ]]; then command=$word; else ((position++)); fi ;;
    esac
  done
  case $previous in
    -o | --output) words='table json ndjson' ;;
    --socket) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
    --i-have-fenced) words=$(_vmigrate_hosts) ;;
    --on-stall) words='abort pause' ;;
    --vm) words=$(_vmigrate_vms) ;;
    --user) words=$(compgen -u) ;;
    --address | --max-pause | --bandwidth | --finish-by | --max-slowdown | --since | -n | --limit) return ;;
    *)
      if [[ $current == -* ]]; then
        # shellcheck disable=SC2086 # no command is no word
        words="$(_vmigrate_help $command | grep -oE -- '^  (-[a-z],)?--[a-z-]+' | grep -oE -- '--[a-z-]+') --output --socket"
      elif [[ -z $command ]]; then
        words=$(_vmigrate_commands)
      else
        case $command:$position in
          start:0 | move:0 | check:0 | show:0 | watch:0 | cancel:0 | history:0 | resolve:0) words=$(_vmigrate_vms) ;;
          audit:0) words=verify ;;
          start:1 | move:1 | check:* | peers:1 | pair:0) words=$(_vmigrate_hosts) ;;
          peers:0) words='list remove' ;;
        esac
      fi
      ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}

complete -F _vmigrate vmigrate
