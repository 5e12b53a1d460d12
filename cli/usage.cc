#include "cli/usage.h"

#include <CLI/CLI.hpp>

#include "ckpt/error.h"
#include "cli/nearest.h"

namespace ckpt::cli {
namespace {

std::vector<std::string> CommandsOf(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands({})) names.push_back(command->get_name());
  return names;
}

std::vector<std::string> OptionsOf(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string Unexpected(const CLI::App& app, const std::vector<std::string>& extras) {
  const auto used = app.get_subcommands();
  const CLI::App& command = used.empty() ? app : *used.front();
  const std::string of = used.empty() ? "" : " of " + command.get_name();
  for (const std::string& extra : extras) {
    if (extra.size() < 2 || extra.front() != '-') continue;
    const std::string name = extra.substr(0, extra.find('='));
    return "there is no option \"" + EscapeForDisplay(name) + "\"" + of +
           DidYouMean(name, OptionsOf(command));
  }
  return "one argument too many: \"" + EscapeForDisplay(extras.front()) + "\"";
}

}  // namespace

std::vector<std::string> WithHelpAsOption(std::vector<std::string> arguments) {
  if (arguments.empty()) return arguments;
  if (arguments[0] == "version" || arguments[0] == "-V") arguments[0] = "--version";
  if (arguments[0] != "help") return arguments;
  if (arguments.size() == 1) return {"--help"};
  return {arguments[1], "--help"};
}

std::string WrongCommand(const CLI::App& app, const std::vector<std::string>& arguments) {
  const std::vector<std::string> commands = CommandsOf(app);
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

std::string InWords(const CLI::App& app, const CLI::ParseError& error) {
  const std::vector<std::string> extras = app.remaining(true);
  const bool unexpected =
      error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError) && !extras.empty();
  return unexpected ? Unexpected(app, extras) : error.what();
}

}  // namespace ckpt::cli
