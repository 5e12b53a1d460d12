#include "cli/arguments.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <sstream>

#include "cli/nearest.h"
#include "cli/usage.h"

namespace ckpt::cli {
namespace {

const std::string kExamplesHeading = "Example:\n";

CLI::Validator AsValidator(const Check& check) { return {check.apply, check.shown, ""}; }

std::string Joined(const std::vector<std::string>& words) {
  std::string joined;
  for (const std::string& word : words) joined += (joined.empty() ? "" : ", ") + word;
  return joined;
}

// "-j,--jobs" in its parts.
std::vector<std::string> NamesIn(const std::string& names) {
  std::vector<std::string> parts;
  std::istringstream in(names);
  for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
  return parts;
}

}  // namespace

Check NotNegative() {
  return {[](std::string& word) {
    double number = 0;
    if (!ReadWord(word, number)) return word + " is no number";
    return number >= 0 ? std::string{} : word + " is negative";
  }};
}

Check Positive() {
  return {[](std::string& word) {
            double number = 0;
            if (!ReadWord(word, number)) return word + " is no number";
            return number > 0 ? std::string{} : word + " is not positive";
          },
          "POSITIVE"};
}

Check Between(double least, double most) {
  std::ostringstream range;
  range.precision(12);
  range << "[" << least << " - " << most << "]";
  return {[least, most, shown = range.str()](std::string& word) {
            double number = 0;
            if (!ReadWord(word, number)) return word + " is no number";
            return number >= least && number <= most ? std::string{} : word + " is not in " + shown;
          },
          "in " + range.str()};
}

Check SizeIn(SizeUnit unit) {
  const CLI::AsSizeValue size(unit == SizeUnit::kThousand);
  return {[size](std::string& word) { return size(word); }, size.get_description()};
}

Check OneOfWords(std::vector<std::string> words) {
  return {[words](std::string& word) {
            if (std::find(words.begin(), words.end(), word) != words.end()) return std::string{};
            return "\"" + word + "\" is none of " + Joined(words) + DidYouMean(word, words);
          },
          "{" + Joined(words) + "}", words};
}

Option::Option(CLI::Option* parsed, std::vector<std::string> names, std::string help,
               std::string value, bool list)
    : parsed_(parsed),
      names_(std::move(names)),
      help_(std::move(help)),
      value_(std::move(value)),
      list_(list) {}

Option* Option::type_name(std::string name) {
  parsed_->type_name(name);
  value_ = std::move(name);
  return this;
}

Option* Option::check(Check check) {
  parsed_->check(AsValidator(check));
  if (!check.words.empty()) words_ = std::move(check.words);
  return this;
}

Option* Option::transform(Check check) {
  parsed_->transform(AsValidator(check));
  if (!check.words.empty()) words_ = std::move(check.words);
  return this;
}

Option* Option::required() {
  parsed_->required();
  required_ = true;
  return this;
}

Option* Option::allow_extra_args(bool allowed) {
  parsed_->allow_extra_args(allowed);
  return this;
}

Option* Option::delimiter(char separator) {
  parsed_->delimiter(separator);
  return this;
}

Option* Option::excludes(Option* other) {
  parsed_->excludes(other->parsed_);
  excluded_.push_back(other);
  other->excluded_.push_back(this);
  return this;
}

Option* Option::needs(Option* other) {
  parsed_->needs(other->parsed_);
  needed_.push_back(other);
  return this;
}

bool ReadWord(const std::string& word, std::string& value) {
  value = word;
  return true;
}
bool ReadWord(const std::string& word, bool& value) {
  return CLI::detail::lexical_cast(word, value);
}
bool ReadWord(const std::string& word, double& value) {
  return CLI::detail::lexical_cast(word, value);
}
bool ReadWord(const std::string& word, int& value) {
  return CLI::detail::lexical_cast(word, value);
}
bool ReadWord(const std::string& word, unsigned& value) {
  return CLI::detail::lexical_cast(word, value);
}
bool ReadWord(const std::string& word, std::int64_t& value) {
  return CLI::detail::lexical_cast(word, value);
}
bool ReadWord(const std::string& word, std::uint64_t& value) {
  return CLI::detail::lexical_cast(word, value);
}

Arguments::Arguments(CLI::App& app, std::string name, std::string summary, std::string examples)
    : app_(app),
      name_(std::move(name)),
      summary_(std::move(summary)),
      examples_(std::move(examples)) {}

Option* Arguments::Add(const std::string& names, std::string type, std::string help, Store store) {
  CLI::Option* parsed = app_.add_option(names, std::move(store), help);
  parsed->type_name(type);
  options_.push_back(Option(parsed, NamesIn(names), std::move(help), std::move(type), false));
  return &options_.back();
}

Option* Arguments::add_option(const std::string& names, std::vector<std::string>& variable,
                              std::string help) {
  Option* option =
      Add(names, "TEXT", std::move(help), [&variable](const std::vector<std::string>& words) {
        variable = words;
        return true;
      });
  option->parsed_->expected(CLI::detail::expected_max_vector_size);
  option->list_ = true;
  return option;
}

Option* Arguments::add_flag(const std::string& names, bool& variable, std::string help) {
  Option* option =
      Add(names, "", std::move(help), [&variable](const std::vector<std::string>& words) {
        return !words.empty() && ReadWord(words.front(), variable);
      });
  option->parsed_->multi_option_policy(CLI::MultiOptionPolicy::TakeLast)->expected(0);
  return option;
}

ArgumentParser::ArgumentParser(std::string name, std::string description,
                               const std::string& version, const std::string& notes,
                               std::string examples)
    : app_(std::make_unique<CLI::App>(description, std::move(name))),
      description_(std::move(description)),
      examples_(std::move(examples)) {
  app_->set_version_flag("--version", version);
  app_->require_subcommand(1);
  app_->footer(notes + kExamplesHeading + examples_);
}

ArgumentParser::~ArgumentParser() = default;

Arguments& ArgumentParser::AddCommand(const std::string& name, const std::string& summary,
                                      const std::string& examples) {
  CLI::App* command = app_->add_subcommand(name, summary);
  command->footer(kExamplesHeading + examples);
  return commands_.emplace_back(*command, name, summary, examples);
}

const Arguments* ArgumentParser::Chosen() const {
  for (const Arguments& command : commands_) {
    if (app_->got_subcommand(command.name())) return &command;
  }
  return nullptr;
}

ArgumentParser::Parsed ArgumentParser::Wrong(const std::string& message) const {
  Parsed parsed{Chosen(), {}, message};
  const std::vector<std::string> extras = app_->remaining(true);
  if (!extras.empty()) parsed.wrong = Unexpected(parsed.command, extras);
  return parsed;
}

ArgumentParser::Parsed ArgumentParser::Parse(std::vector<std::string> arguments) {
  std::vector<std::string> names;
  for (const Arguments& command : commands_) names.push_back(command.name());
  if (std::string wrong = WrongCommand(names, arguments); !wrong.empty())
    return {nullptr, {}, wrong};
  std::reverse(arguments.begin(), arguments.end());  // as CLI11 takes them
  try {
    app_->parse(std::move(arguments));
  } catch (const CLI::ExtrasError& error) {
    return Wrong(error.what());
  } catch (const CLI::RequiredError& error) {
    if (Chosen() == nullptr) return Wrong(error.what());
    return {Chosen(), {}, error.what(), true};
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != static_cast<int>(CLI::ExitCodes::Success))
      return {Chosen(), {}, error.what()};
    std::ostringstream printed, none;
    app_->exit(error, printed, none);
    return {nullptr, printed.str()};
  }
  return {Chosen()};
}

}  // namespace ckpt::cli
