// What a command line may hold: the options and positional arguments of a command, declared once.
// The parser, --help, the man pages and the completions all read this declaration. CLI11 parses; it
// stays behind arguments.cc, as each file that includes it takes ten seconds longer to compile.
#pragma once

#include <concepts>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace ckpt::cli {

// Of a word that was given: it changes it, or says what is wrong with it.
struct Check {
  std::function<std::string(std::string& word)> apply;
  std::string shown = {};               // behind the type in --help
  std::vector<std::string> words = {};  // all that may be given, if they are few
};

// A number that is not negative, refused in words that do not name the largest of all.
Check NotNegative();
Check Positive();
Check Between(double least, double most);
// "4GB" becomes bytes: 1 GB is 10^9 of them, or 2^30.
enum class SizeUnit : std::uint8_t { kThousand, k1024 };
Check SizeIn(SizeUnit unit);
Check OneOfWords(std::vector<std::string> words);

// An option, a flag or a positional argument. The calls are named as those of CLI11, and can be
// chained as there.
class Option {
 public:
  Option* type_name(std::string name);  // of the value, such as FILE
  Option* check(Check check);
  Option* transform(Check check);
  Option* required();
  Option* allow_extra_args(bool allowed);  // of a list: more than one word behind one name?
  Option* delimiter(char separator);
  Option* excludes(Option* other);
  Option* needs(Option* other);

  const std::vector<std::string>& names() const noexcept {
    return names_;
  }  // "-q", "--quiet"; "INPUT"
  const std::string& help() const noexcept { return help_; }
  const std::string& value() const noexcept {
    return value_;
  }  // what type_name() said; "" of a flag
  const std::vector<std::string>& words() const noexcept { return words_; }
  const std::vector<const Option*>& excluded() const noexcept { return excluded_; }
  const std::vector<const Option*>& needed() const noexcept { return needed_; }
  bool is_positional() const noexcept { return !names_.front().starts_with('-'); }
  bool is_required() const noexcept { return required_; }
  bool is_list() const noexcept { return list_; }

 private:
  friend class Arguments;
  Option(CLI::Option* parsed, std::vector<std::string> names, std::string help, std::string value,
         bool list);

  CLI::Option* parsed_;
  std::vector<std::string> names_;
  std::string help_, value_;
  std::vector<std::string> words_ = {};
  std::vector<const Option*> excluded_ = {}, needed_ = {};
  bool list_, required_ = false;
};

// The variables that an option can fill. False: the words are none of that type.
bool ReadWord(const std::string& word, std::string& value);
bool ReadWord(const std::string& word, bool& value);
bool ReadWord(const std::string& word, double& value);
bool ReadWord(const std::string& word, int& value);
bool ReadWord(const std::string& word, unsigned& value);
bool ReadWord(const std::string& word, std::int64_t& value);
bool ReadWord(const std::string& word, std::uint64_t& value);
template <typename T>
requires std::is_enum_v<T>
bool ReadWord(const std::string& word, T& value) {
  int number = 0;
  if (!ReadWord(word, number)) return false;
  value = static_cast<T>(number);
  return true;
}
template <typename T>
bool ReadWord(const std::string& word, std::optional<T>& value) {
  return ReadWord(word, value.emplace());
}

class Arguments {
 public:
  Arguments(CLI::App& app, std::string name, std::string summary, std::string examples);
  Arguments(const Arguments&) = delete;
  Arguments& operator=(const Arguments&) = delete;

  // `names`: "--graph", "-j,--jobs", or "INPUT" for what stands without a name. `variable` must
  // live until the command line is parsed, and keeps its value where the option is not given.
  template <typename T>
  Option* add_option(const std::string& names, T& variable, std::string help) {
    return Add(names, TypeOf(variable), std::move(help),
               [&variable](const std::vector<std::string>& words) {
                 return !words.empty() && ReadWord(words.front(), variable);
               });
  }
  Option* add_option(const std::string& names, std::vector<std::string>& variable,
                     std::string help);
  Option* add_flag(const std::string& names, bool& variable, std::string help);

  const std::string& name() const noexcept { return name_; }
  const std::string& summary() const noexcept { return summary_; }
  const std::string& examples() const noexcept { return examples_; }  // one a line
  const std::deque<Option>& options() const noexcept {
    return options_;
  }  // --help is not among them

 private:
  friend class ArgumentParser;
  using Store = std::function<bool(const std::vector<std::string>& words)>;
  static const char* TypeOf(const std::string&) { return "TEXT"; }
  static const char* TypeOf(double) { return "FLOAT"; }
  template <std::signed_integral T>
  static const char* TypeOf(T) {
    return "INT";
  }
  template <std::unsigned_integral T>
  static const char* TypeOf(T) {
    return "UINT";
  }
  template <typename T>
  requires std::is_enum_v<T>
  static const char* TypeOf(T) { return "WORD"; }
  static const char* TypeOf(bool) { return "BOOLEAN"; }
  template <typename T>
  static const char* TypeOf(const std::optional<T>&) {
    return TypeOf(T{});
  }
  Option* Add(const std::string& names, std::string type, std::string help, Store store);

  CLI::App& app_;
  std::string name_, summary_, examples_;
  std::deque<Option> options_;
};

// The program: its commands, each with its arguments.
class ArgumentParser {
 public:
  // `notes` stand in --help before the examples.
  ArgumentParser(std::string name, std::string description, const std::string& version,
                 const std::string& notes, std::string examples);
  ~ArgumentParser();
  ArgumentParser(const ArgumentParser&) = delete;
  ArgumentParser& operator=(const ArgumentParser&) = delete;

  Arguments& AddCommand(const std::string& name, const std::string& summary,
                        const std::string& examples);
  const std::deque<Arguments>& commands() const noexcept { return commands_; }
  const std::string& description() const noexcept { return description_; }
  const std::string& examples() const noexcept { return examples_; }

  struct Parsed {
    const Arguments* command = nullptr;  // that is to run: everything is in its variables
    std::string printed = {};            // --help or --version asked for this instead
    std::string wrong = {};              // or this is wrong
    bool lacks_argument = false;         // namely, one is missing
  };
  // The arguments without the program's name.
  Parsed Parse(std::vector<std::string> arguments);

 private:
  Parsed Wrong(const std::string& message) const;
  const Arguments* Chosen() const;

  std::unique_ptr<CLI::App> app_;
  std::string description_, examples_;
  std::deque<Arguments> commands_;
};

}  // namespace ckpt::cli
