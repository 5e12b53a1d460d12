// The keys of ckpt.toml. Each is a row: its name and what takes its value.
#define TOML_HEADER_ONLY 1
#define TOML_EXCEPTIONS 0
#define TOML_ENABLE_FORMATTERS 0
#include <toml++/toml.h>

#include <cmath>
#include <functional>

#include "cli/nearest.h"
#include "cli/policy/config_file.h"

namespace ckpt::cli {
namespace {

// Where something stands; `path` is that of the file.
Error At(const std::string& path, const toml::source_position& place, std::string what) {
  return {ErrorCode::kInvalidArgument,
          std::move(what),
          path + ":" + std::to_string(place.line) + ":" + std::to_string(place.column),
          {},
          {}};
}

// A value with its place and the name of its key.
struct Value {
  const std::string& path;
  const toml::node& node;
  std::string key;

  tl::unexpected<Error> Wrong(const std::string& what) const {
    return Fail(At(path, node.source().begin, what));
  }
  tl::unexpected<Error> WrongType(const std::string& wanted) const {
    return Wrong("\"" + key + "\" is not " + wanted);
  }
};

struct Row {
  std::string name;
  std::function<Status(const Value&)> take;
};
using Rows = std::vector<Row>;

// What a file that lies about must not decide, in one word each.
constexpr std::string_view kOnCommandLineOnly[] = {
    "allow-findings", "color",  "data",  "data-input", "force",  "format", "graph", "network",
    "output",         "python", "quiet", "record",     "report", "reason", "since", "trust-input",
    "write-baseline", "with",   "from",  "files-from", "memory", "jobs",   "config"};

Status UnknownKey(const std::string& path, const toml::key& key, const Rows& rows,
                  const std::string& table) {
  const std::string word(key.str());
  for (const std::string_view option : kOnCommandLineOnly) {
    if (word == option)
      return Fail(At(path, key.source().begin,
                     "\"" + word + "\" cannot be set here: it is given on the command line"));
  }
  std::vector<std::string> known;
  for (const Row& row : rows) known.push_back(row.name);
  const std::string meant = DidYouMean(word, known);
  std::string list;
  for (const std::string& name : known) list += (list.empty() ? "" : ", ") + name;
  return Fail(
      At(path, key.source().begin,
         table + " has no key \"" + word + "\"" + (meant.empty() ? "; it has " + list : meant)));
}

Status ReadTable(const std::string& path, const toml::table& table, const std::string& name,
                 const Rows& rows) {
  for (const auto& [key, node] : table) {
    const std::string_view word = key.str();
    const auto row =
        std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.name == word; });
    if (row == rows.end()) return UnknownKey(path, key, rows, name);
    CKPT_RETURN_IF_ERROR(row->take({path, node, row->name}));
  }
  return {};
}

Result<std::string> TextOf(const Value& value) {
  const auto text = value.node.value_exact<std::string>();
  if (!text) return value.WrongType("a string");
  return *text;
}

// One string, or a list of them, each with its place.
Status ForEachText(const Value& value,
                   const std::function<Status(const Value&, std::string)>& take) {
  const toml::array* list = value.node.as_array();
  if (list == nullptr) {
    const auto text = value.node.value_exact<std::string>();
    if (!text) return value.WrongType("a string or a list of strings");
    return take(value, *text);
  }
  for (const toml::node& node : *list) {
    const Value item{value.path, node, value.key};
    const auto text = node.value_exact<std::string>();
    if (!text) return item.WrongType("a list of strings");
    CKPT_RETURN_IF_ERROR(take(item, *text));
  }
  return {};
}

Result<double> NumberOf(const Value& value, double most) {
  const auto number = value.node.is_number() ? value.node.value<double>() : std::nullopt;
  if (!number) return value.WrongType("a number");
  if (!(*number >= 0) || !(*number <= most) || std::isinf(*number))
    return value.Wrong("\"" + value.key + "\" is not a number " +
                       (std::isinf(most) ? "that is 0 or more" : "from 0 to 1"));
  return *number;
}

Result<std::string_view> RuleOf(const Value& value, const std::string& word) {
  const Rule* rule = FindRule(word);
  if (rule == nullptr) return value.Wrong(NoSuchRule(word));
  return rule->id;
}

struct Word {
  std::string name;
  std::optional<Severity> severity;
};
const std::vector<Word> kSeverities = {
    {"error", Severity::kError}, {"warning", Severity::kWarning}, {"info", Severity::kInfo}};

Result<std::optional<Severity>> SeverityOf(const Value& value, std::vector<Word> words) {
  CKPT_ASSIGN_OR_RETURN(const std::string text, TextOf(value));
  std::vector<std::string> names;
  std::string list;
  for (const Word& word : words) {
    if (word.name == text) return word.severity;
    names.push_back(word.name);
    list += (list.empty() ? "" : ", ") + word.name;
  }
  return value.Wrong("\"" + text + "\" is none of " + list + DidYouMean(text, names));
}

Status TakeRules(const Value& value, std::vector<std::string_view>& rules) {
  return ForEachText(value, [&](const Value& item, const std::string& word) -> Status {
    CKPT_ASSIGN_OR_RETURN(const std::string_view id, RuleOf(item, word));
    rules.push_back(id);
    return {};
  });
}

Status TakeSeverities(const Value& value, RuleSettings& rules) {
  const toml::table* table = value.node.as_table();
  if (table == nullptr) return value.WrongType("a table of rules and their severities");
  for (const auto& [key, node] : *table) {
    const Rule* rule = FindRule(key.str());
    if (rule == nullptr) return Fail(At(value.path, key.source().begin, NoSuchRule(key.str())));
    CKPT_ASSIGN_OR_RETURN(const std::optional<Severity> severity,
                          SeverityOf({value.path, node, std::string(key.str())}, kSeverities));
    rules.severity[rule->id] = *severity;
  }
  return {};
}

Rows RowsOfRules(RuleSettings& rules) {
  return {{"rule", [&](const Value& value) { return TakeRules(value, rules.only); }},
          {"no-rule", [&](const Value& value) { return TakeRules(value, rules.without); }},
          {"severity", [&](const Value& value) { return TakeSeverities(value, rules); }}};
}

Status TakeGlobs(const Value& value, std::vector<std::string>& globs) {
  return ForEachText(value, [&](const Value& item, std::string glob) -> Status {
    if (glob.empty() || glob.front() == '!' || glob.find('\0') != std::string::npos)
      return item.Wrong("\"glob\" is a pattern of paths, without \"!\"");
    globs.push_back(std::move(glob));
    return {};
  });
}

// [[audit.path]]
Status TakePaths(const Value& value, std::vector<PathSettings>& paths) {
  const toml::array* list = value.node.as_array();
  if (list == nullptr || list->empty() || !list->is_array_of_tables())
    return value.WrongType("a list of tables: [[audit.path]]");
  for (const toml::node& node : *list) {
    PathSettings settings;
    Rows rows = RowsOfRules(settings.rules);
    rows.push_back({"glob", [&](const Value& globs) { return TakeGlobs(globs, settings.globs); }});
    CKPT_RETURN_IF_ERROR(ReadTable(value.path, *node.as_table(), "[[audit.path]]", rows));
    if (settings.globs.empty())
      return Value{value.path, node, "path"}.Wrong("[[audit.path]] needs a \"glob\"");
    paths.push_back(std::move(settings));
  }
  return {};
}

Status TakeCount(const Value& value, std::optional<std::uint64_t>& count) {
  const auto number = value.node.value_exact<std::int64_t>();
  if (!number || *number <= 0) return value.WrongType("a whole number above 0");
  count = static_cast<std::uint64_t>(*number);
  return {};
}

template <typename T>
Status Store(Result<T> value, std::optional<T>& place) {
  CKPT_ASSIGN_OR_RETURN(place, std::move(value));
  return {};
}

Status TakeFlag(const Value& value, std::optional<bool>& flag) {
  flag = value.node.value_exact<bool>();
  return flag ? Status() : value.WrongType("true or false");
}

Status TakeFailOn(const Value& value, AuditConfig& config) {
  std::vector<Word> words = kSeverities;
  words.push_back({"never", std::nullopt});
  CKPT_ASSIGN_OR_RETURN(config.fail_on, SeverityOf(value, std::move(words)));
  return {};
}

Status TakeBaseline(const Value& value, AuditConfig& config) {
  CKPT_ASSIGN_OR_RETURN(config.baseline, TextOf(value));
  const bool is_path = !config.baseline.empty() && config.baseline.find('\0') == std::string::npos;
  return is_path ? Status() : value.WrongType("the path of a file");
}

Status ReadAudit(const Value& value, AuditConfig& config) {
  const toml::table* table = value.node.as_table();
  if (table == nullptr) return value.WrongType("a table: [audit]");
  Rows rows = RowsOfRules(config.rules);
  const Rows more = {
      {"path", [&](const Value& v) { return TakePaths(v, config.paths); }},
      {"fail-on", [&](const Value& v) { return TakeFailOn(v, config); }},
      {"epsilon", [&](const Value& v) { return Store(NumberOf(v, HUGE_VAL), config.epsilon); }},
      {"momentum", [&](const Value& v) { return Store(NumberOf(v, 1), config.momentum); }},
      {"checksums", [&](const Value& v) { return TakeFlag(v, config.checksums); }},
      {"max-operations", [&](const Value& v) { return TakeCount(v, config.max_operations); }},
      {"baseline", [&](const Value& v) { return TakeBaseline(v, config); }}};
  rows.insert(rows.end(), more.begin(), more.end());
  return ReadTable(value.path, *table, "[audit]", rows);
}

// toml++ bounds how deep values may be nested, but not the parts of a dotted key, of which each is
// a table in the one before: it would run out of stack. Keys here have three.
constexpr std::size_t kMaxDots = 64;

// The first line with more dots outside of strings and comments; 0: none.
toml::source_index LineOfDots(const std::string& text) {
  toml::source_index line = 1;
  std::size_t dots = 0;
  char quote = 0;
  bool comment = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (c == '\n') {
      ++line;
      dots = 0;
      quote = 0;
      comment = false;
    } else if (quote != 0) {
      if (c == '\\' && quote == '"' && i + 1 < text.size() && text[i + 1] != '\n') ++i;
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = comment ? quote : c;
    } else if (c == '#') {
      comment = true;
    } else if (c == '.' && !comment && ++dots > kMaxDots) {
      return line;
    }
  }
  return 0;
}

}  // namespace

Result<AuditConfig> ParseConfig(const std::string& text, const std::string& path) {
  if (const toml::source_index line = LineOfDots(text); line > 0)
    return Fail(At(path, {line, 1}, "a key has too many parts"));
  const toml::parse_result parsed = toml::parse(std::string_view(text), std::string_view(path));
  if (!parsed) {
    const toml::parse_error& error = parsed.error();
    return Fail(At(path, error.source().begin, std::string(error.description())));
  }
  AuditConfig config;
  config.path = path;
  const Rows rows = {{"audit", [&](const Value& value) { return ReadAudit(value, config); }}};
  CKPT_RETURN_IF_ERROR(ReadTable(path, parsed.table(), "the file", rows));
  return config;
}

}  // namespace ckpt::cli
