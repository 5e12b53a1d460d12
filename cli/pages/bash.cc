#include "cli/pages/completed.h"
#include "cli/pages/completions.h"

namespace ckpt::cli {
namespace {

// Takes a word apart as bash does at = and :, without the help of the package bash-completion.
constexpr const char* kHead = R"sh(# Completion of ckpt for bash. Written when ckpt was built.
_ckpt_words() { mapfile -t COMPREPLY < <(compgen -W "$1" -- "$2"); }
_ckpt_files() {
  compopt -o filenames 2>/dev/null || true
  mapfile -t COMPREPLY < <(compgen -f -- "$1")
}
_ckpt() {
  local cur=${COMP_WORDS[COMP_CWORD]} before='' command='' at=''
  COMPREPLY=()
  ((COMP_CWORD > 1)) && command=${COMP_WORDS[1]}
  ((COMP_CWORD > 0)) && before=${COMP_WORDS[COMP_CWORD - 1]}
  # --format=json, --report sarif:FILE: = and : are words of their own
  if [[ $cur == [=:] ]]; then
    cur=''
    at=$((COMP_CWORD - 1))
  elif [[ $before == [=:] ]]; then
    at=$((COMP_CWORD - 2))
  fi
  if [[ -n $at ]]; then
    before=${COMP_WORDS[at]}
    if [[ $before != -* ]]; then
      _ckpt_files "$cur"
      return
    fi
  fi
)sh";

constexpr const char* kTail = R"sh(}
complete -F _ckpt ckpt
)sh";

std::string Joined(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : " ") + word;
  return joined;
}

std::string BashActionOf(const Option& option) {
  const Completed completed = CompletedBy(option).value_or(Completed{});
  switch (completed.kind) {
    case Completed::Kind::kNothing:
      return ":";
    case Completed::Kind::kFiles:
      return "_ckpt_files \"$cur\"";
    case Completed::Kind::kWords:
      return "_ckpt_words '" + Joined(completed.words) + "' \"$cur\"";
  }
  return ":";
}

// The values of options, the options, and what stands without a name.
std::string CaseOf(const Arguments& command) {
  std::string values, positional = ":", names = "--help";
  for (const Option& option : command.options()) {
    if (option.is_positional()) {
      positional = BashActionOf(option);
      continue;
    }
    names += " " + Joined(option.names());
    if (option.value().empty()) continue;
    std::string pattern;
    for (const std::string& name : option.names()) pattern += (pattern.empty() ? "" : " | ") + name;
    values += "        " + pattern + ") " + BashActionOf(option) + " ;;\n";
  }
  return "    " + command.name() + ")\n      case $before in\n" + values +
         "        *) if [[ $cur == -* ]]; then _ckpt_words '" + names + "' \"$cur\"; else " +
         positional + "; fi ;;\n      esac ;;\n";
}

}  // namespace

std::string BashCompletion(const ArgumentParser& parser) {
  std::string commands;
  for (const Arguments& command : parser.commands())
    commands += (commands.empty() ? "" : " ") + command.name();
  std::string script = kHead;
  script += "  case $command in\n    '') _ckpt_words '" + commands +
            " help version --help --version' \"$cur\" ;;\n";
  script += "    help) _ckpt_words '" + commands + "' \"$cur\" ;;\n";
  for (const Arguments& command : parser.commands()) script += CaseOf(command);
  return script + "  esac\n" + kTail;
}

}  // namespace ckpt::cli
