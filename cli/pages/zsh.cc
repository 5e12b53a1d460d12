#include "cli/pages/completed.h"
#include "cli/pages/completions.h"

namespace ckpt::cli {
namespace {

// Within '...', and within [...] or up to a colon of a specification of _arguments.
std::string ZshText(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '\'') {
      out += "'\\''";
    } else {
      if (c == '[' || c == ']' || c == ':' || c == '\\') out += '\\';
      out += c;
    }
  }
  return out;
}

std::string ZshActionOf(const Option& option) {
  const Completed completed = CompletedBy(option).value_or(Completed{});
  switch (completed.kind) {
    case Completed::Kind::kNothing:
      return " ";
    case Completed::Kind::kFiles:
      return "_files";
    case Completed::Kind::kWords: {
      std::string words;
      for (const std::string& word : completed.words) words += (words.empty() ? "" : " ") + word;
      return "(" + words + ")";
    }
  }
  return " ";
}

std::string SpecificationOf(const Option& option) {
  if (option.is_positional()) {
    const std::string& name = option.names().front();
    return "'" + std::string(option.is_list() ? "*" : "") + ":" + ZshText(name) + ":" +
           ZshActionOf(option) + "'";
  }
  const std::string repeated = option.is_list() ? "*" : "";
  std::string all;
  for (const std::string& name : option.names()) {
    const bool takes_value = !option.value().empty();
    const std::string joined = takes_value && name.starts_with("--") ? "=" : "";
    all += (all.empty() ? "'" : " \\\n    '") + repeated + name + joined + "[" +
           ZshText(option.help()) + "]";
    if (takes_value) all += ":" + ZshText(option.value()) + ":" + ZshActionOf(option);
    all += "'";
  }
  return all;
}

}  // namespace

std::string ZshCompletion(const ArgumentParser& parser) {
  std::string commands, functions, cases;
  for (const Arguments& command : parser.commands()) {
    const std::string function = "_ckpt_" + command.name();
    commands += "    '" + command.name() + ":" + ZshText(command.summary()) + "'\n";
    functions += function + "() {\n  _arguments -s \\\n    '--help[Print help and exit]'";
    for (const Option& option : command.options())
      functions += " \\\n    " + SpecificationOf(option);
    functions += "\n}\n";
    cases += "    " + command.name() + ") " + function + " ;;\n";
  }
  return "#compdef ckpt\n# Completion of ckpt for zsh. Written when ckpt was built.\n" + functions +
         "_ckpt() {\n  local -a commands=(\n" + commands +
         "  )\n  if ((CURRENT == 2)); then\n    _describe command commands\n    return\n  fi\n"
         "  local command=$words[2]\n  shift words\n  ((CURRENT--))\n  case $command in\n"
         "    help) _describe command commands ;;\n" +
         cases + "  esac\n}\n_ckpt \"$@\"\n";
}

}  // namespace ckpt::cli
