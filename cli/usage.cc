#include "cli/usage.h"

#include "ckpt/error.h"
#include "cli/arguments.h"
#include "cli/nearest.h"

namespace ckpt::cli {
namespace {

std::vector<std::string> OptionsOf(const Arguments* command) {
  std::vector<std::string> names = {"--help"};
  if (command == nullptr) names.emplace_back("--version");
  if (command == nullptr) return names;
  for (const Option& option : command->options()) {
    for (const std::string& name : option.names()) {
      if (name.starts_with("--")) names.push_back(name);
    }
  }
  return names;
}

}  // namespace

std::vector<std::string> WithHelpAsOption(std::vector<std::string> arguments) {
  if (arguments.empty()) return arguments;
  if (arguments[0] == "version" || arguments[0] == "-V") arguments[0] = "--version";
  if (arguments[0] != "help") return arguments;
  if (arguments.size() == 1) return {"--help"};
  return {arguments[1], "--help"};
}

std::string WrongCommand(const std::vector<std::string>& commands,
                         const std::vector<std::string>& arguments) {
  std::string known;
  for (const std::string& name : commands) known += (known.empty() ? "" : ", ") + name;
  if (arguments.empty()) return "a command is needed: " + known;
  const std::string& word = arguments[0];
  if (word.starts_with('-')) return {};
  for (const std::string& name : commands) {
    if (name == word) return {};
  }
  const std::string meant = DidYouMean(word, commands);
  return "there is no command \"" + EscapeForDisplay(word) + "\"" +
         (meant.empty() ? "; there are " + known : meant);
}

std::string Unexpected(const Arguments* command, const std::vector<std::string>& extras) {
  const std::string of = command == nullptr ? "" : " of " + command->name();
  for (const std::string& extra : extras) {
    if (extra.size() < 2 || extra.front() != '-') continue;
    const std::string name = extra.substr(0, extra.find('='));
    return "there is no option \"" + EscapeForDisplay(name) + "\"" + of +
           DidYouMean(name, OptionsOf(command));
  }
  return "one argument too many: \"" + EscapeForDisplay(extras.front()) + "\"";
}

}  // namespace ckpt::cli
