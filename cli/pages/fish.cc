#include "cli/pages/completed.h"
#include "cli/pages/completions.h"

namespace ckpt::cli {
namespace {

std::string Quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'' || c == '\\') out += '\\';
    out += c;
  }
  return out + "'";
}

std::string FishActionOf(const Option& option) {
  const Completed completed = CompletedBy(option).value_or(Completed{});
  switch (completed.kind) {
    case Completed::Kind::kNothing:
      return option.is_positional() ? " -f" : " -x";
    case Completed::Kind::kFiles:
      return option.is_positional() ? " -F" : " -r -F";
    case Completed::Kind::kWords: {
      std::string words;
      for (const std::string& word : completed.words) words += (words.empty() ? "" : " ") + word;
      return (option.is_positional() ? " -f -a " : " -x -a ") + Quoted(words);
    }
  }
  return "";
}

std::string LineOf(const Arguments& command, const Option& option) {
  std::string line = "complete -c ckpt -n '__fish_seen_subcommand_from " + command.name() + "'";
  if (option.is_positional()) return line + FishActionOf(option) + "\n";
  for (const std::string& name : option.names()) {
    line += name.starts_with("--") ? " -l " + name.substr(2) : " -s " + name.substr(1);
  }
  if (!option.value().empty()) line += FishActionOf(option);
  return line + " -d " + Quoted(option.help()) + "\n";
}

}  // namespace

std::string FishCompletion(const ArgumentParser& parser) {
  std::string script = "# Completion of ckpt for fish. Written when ckpt was built.\n";
  std::string commands;
  for (const Arguments& command : parser.commands()) {
    commands += " " + command.name();
    script += "complete -c ckpt -f -n __fish_use_subcommand -a " + command.name() + " -d " +
              Quoted(command.summary()) + "\n";
  }
  script += "complete -c ckpt -f -n __fish_use_subcommand -a help -d 'Help of a command'\n";
  script +=
      "complete -c ckpt -f -n '__fish_seen_subcommand_from help' -a '" + commands.substr(1) + "'\n";
  script += "complete -c ckpt -l help -s h -d 'Print help and exit'\n";
  script +=
      "complete -c ckpt -n __fish_use_subcommand -l version -d 'Print the version and exit'\n";
  for (const Arguments& command : parser.commands()) {
    for (const Option& option : command.options()) script += LineOf(command, option);
  }
  return script;
}

}  // namespace ckpt::cli
