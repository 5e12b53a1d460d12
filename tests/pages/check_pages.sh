#!/usr/bin/env bash
# check_pages.sh PAGES: man pages are clean roff, and shells complete commands, options, words, rules, formats and files.
# What is not installed here is said and left out; with CKPT_ALL_SHELLS=1 it is missed.
set -euo pipefail
pages=$1
shopt -s nullglob
failed=0

has() {  # has COMMAND
  command -v "$1" >/dev/null && return
  echo "check_pages: no $1 here"
  [ -z "${CKPT_ALL_SHELLS-}" ] || failed=1
  return 1
}
holds() {  # holds WHAT EXPECTED GOT
  [ "$2" = "$3" ] && return
  printf 'check_pages: %s\n  expected: %s\n  got:      %s\n' "$1" "$2" "$3" >&2
  failed=1
}

manuals=("$pages"/*.1)
[ ${#manuals[@]} -ge 8 ] || holds 'man pages' '8 or more' ${#manuals[@]}
for page in "${manuals[@]}"; do
  if has man; then holds "$page" '' "$(man --warnings -E UTF-8 -l -Tutf8 -Z "$page" 2>&1 >/dev/null)"; fi
  if has mandoc; then holds "$page" '' "$(mandoc -Tlint -W warning "$page" | grep -v 'missing date' || true)"; fi
done

# shellcheck source=/dev/null
source "$pages/ckpt.bash"
bash_completes() {  # bash_completes EXPECTED WORD...: the last word is being typed
  local expected=$1
  shift
  COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMPREPLY=()
  _ckpt
  holds "bash: $*" "$expected" "${COMPREPLY[*]}"
}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
: >"$scratch/model one.h5"
cd "$scratch"
bash_completes 'audit' ckpt au
bash_completes '--fail-on' ckpt audit --fai
bash_completes 'error' ckpt audit --fail-on = e
bash_completes 'BN001 BN002 BN003 BN004' ckpt audit --rule BN00
bash_completes 'saved-model safetensors' ckpt convert --to sa
bash_completes 'sarif' ckpt audit --format s
bash_completes 'model one.h5' ckpt diff mo
bash_completes 'model one.h5' ckpt audit --report sarif : mo
bash_completes 'convert calibrate' ckpt help c

if has fish; then
  fish_completes() {  # fish_completes EXPECTED LINE
    holds "fish: $2" "$1" "$(HOME=$scratch fish -N -c "source $pages/ckpt.fish; complete -C '$2'" | cut -f 1 | paste -sd ' ')"
  }
  fish_completes 'audit' 'ckpt au'
  fish_completes '--fail-on' 'ckpt audit --fai'
  fish_completes 'BN001 BN002 BN003 BN004' 'ckpt audit --rule BN00'
  fish_completes 'model one.h5' 'ckpt diff mo'
fi

if has zsh; then
  zsh -n "$pages/_ckpt"
  # A zsh on a terminal of its own, in which <Tab> is typed behind words; what it shows is read until it is right.
  cat >"$scratch/type.zsh" <<'ZSH'
zmodload zsh/zpty zsh/datetime
zpty shell 'zsh -f -i'
zpty -w shell "fpath=($1 \$fpath); autoload -Uz compinit; compinit -D -u; bindkey '^I' complete-word"
zpty -w -n shell $'ckpt audit --fail-on e\t --rule GR\t'
shown='' end=$((EPOCHSECONDS + 30))
while ((EPOCHSECONDS < end)) && [[ $shown != *'--fail-on error'*'--rule GR00'* ]]; do
  zpty -r -t shell chunk && shown+=$chunk || sleep 0.1
done
print -r -- $shown
ZSH
  typed=$(HOME=$scratch zsh -f "$scratch/type.zsh" "$pages")
  grep -q -- '--rule GR00' <<<"$typed" || holds zsh '--fail-on error, --rule GR00' "$typed"
fi
exit "$failed"
