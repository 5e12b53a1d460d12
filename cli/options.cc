#include "cli/options.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <system_error>

#include "cli/choices.h"
#include "cli/nearest.h"
#include "cli/policy/config_file.h"
#include "cli/progress.h"
#include "formats/container/special_file.h"
#include "formats/remote/address.h"
#include "formats/remote/remote_files.h"

namespace ckpt::cli {

void AddReportOptions(Arguments& command, CommandId id, CommonOptions& options) {
  options.command = id;
  std::map<std::string, std::string> forms;
  for (const FormRow& row : Forms()) {
    if (row.commands.Has(id)) forms.emplace(row.name, row.name);
  }
  command.add_option("--format", options.form, "Form of the report: " + FormsOf(id))
      ->transform(OneOf(forms))
      ->type_name("FORMAT");
  command
      .add_option("--report", options.reports,
                  "Write the report to FILE, and a line or two to stdout; or one more report, such "
                  "as json:FILE (may be repeated)")
      ->allow_extra_args(false)
      ->type_name("[FORM:]FILE");
  AddColorOption(command, options);
  Option* config = command
                       .add_option("--config", options.config,
                                   "Settings in place of those of the nearest ckpt.toml")
                       ->type_name("FILE");
  command.add_flag("--no-network", options.no_network,
                   "Refuse URLs: read files of this machine alone");
  command.add_flag("--no-config", options.no_config, "Look for no ckpt.toml")->excludes(config);
  command.add_flag("-q,--quiet", options.quiet,
                   "No progress, and no text report unless there is something to say");
  if (id == CommandId::kExplain) return;
  command.add_flag("-v,--verbose", options.verbose,
                   "Text leaves nothing out: notes, and every line of a long list");
  if (id == CommandId::kInspect) return;
  const std::map<std::string, Severity> severities = {
      {"error", Severity::kError}, {"warning", Severity::kWarning}, {"info", Severity::kInfo}};
  command
      .add_option("--show", options.show,
                  "List findings of this severity and above: error, warning (default) or info; the "
                  "others are counted. What makes the exit code 1 is always listed")
      ->transform(OneOf(severities))
      ->type_name("SEVERITY");
}

void AddColorOption(Arguments& command, CommonOptions& options) {
  const std::map<std::string, ColorMode> colors = {
      {"auto", ColorMode::kAuto}, {"always", ColorMode::kAlways}, {"never", ColorMode::kNever}};
  command.add_option("--color", options.color, "Colour: auto (on a terminal), always or never")
      ->transform(OneOf(colors))
      ->type_name("WHEN");
}

void AddAnalysisOptions(Arguments& command, AnalysisOptions& analysis, const std::string& what) {
  command
      .add_option("--epsilon", analysis.epsilon,
                  "Epsilon of " + what + " for which nothing records one")
      ->check(NotNegative())
      ->type_name("X");
  command
      .add_option("--momentum", analysis.momentum,
                  "Decay of layers for which nothing records one (Keras' sense)")
      ->check(Between(0.0, 1.0))
      ->type_name("X");
}

void AddInputOptions(Arguments& command, CommonOptions& options, std::vector<std::string>* inputs) {
  command
      .add_option("--from", options.from, "Read the input as this format instead of detecting it")
      ->type_name("NAME");
  command
      .add_option("--memory", options.memory,
                  "What the index of an input may take in memory (such as 4GB), where its own size "
                  "does not justify it")
      ->transform(SizeIn(SizeUnit::k1024))
      ->type_name("SIZE");
  if (inputs == nullptr) return;
  command.add_option("INPUT", *inputs,
                     "Checkpoints: a file, a TensorFlow prefix, a folder or a state file");
  command
      .add_option("--files-from", options.files_from,
                  "Read more inputs from FILE, one a line; - is stdin")
      ->type_name("FILE");
  command.add_flag("-0,--null", options.ends_with_nul,
                   "Names of --files-from end with NUL, as those of find -print0");
  command.add_flag("-r,--recursive", options.recursive, "Look into folders below a folder, too");
  command.add_option("-j,--jobs", options.jobs, "Inputs worked on at a time")
      ->check(Between(1, 256))
      ->type_name("N");
}

std::vector<ReportFile> ReportFilesOf(const CommonOptions& options) {
  std::vector<ReportFile> files;
  for (const std::string& report : options.reports) {
    const std::size_t colon = report.find(':');
    const FormRow* form =
        colon == std::string::npos ? nullptr : FindForm(std::string_view(report).substr(0, colon));
    if (form == nullptr) {
      files.push_back({FindForm(options.form), report, true});
    } else {
      files.push_back({form, report.substr(colon + 1), false});
    }
  }
  return files;
}

std::vector<std::string> ReportPathsOf(const CommonOptions& options) {
  std::vector<std::string> paths;
  for (const ReportFile& file : ReportFilesOf(options)) paths.push_back(file.path);
  return paths;
}

bool Draws(const CommonOptions& options) {
  const FormRow* form = FindForm(options.form);
  if (form != nullptr && form->draws) return true;
  const std::vector<ReportFile> files = ReportFilesOf(options);
  return std::any_of(files.begin(), files.end(),
                     [](const ReportFile& file) { return file.form->draws; });
}

Status CheckWrittenHere(const std::string& what, const std::string& path) {
  if (!formats::IsRemoteName(path)) return {};
  return Fail(ErrorCode::kInvalidArgument,
              what + " is a URL; files are written on this machine alone");
}

namespace {

// A word before a colon that is no form is a slip more likely than a file of that name.
Status CheckForms(const std::vector<std::string>& reports) {
  std::vector<std::string> names;
  for (const FormRow& form : Forms()) names.emplace_back(form.name);
  for (const std::string& report : reports) {
    const std::size_t colon = report.find(':');
    if (colon == std::string::npos) continue;
    const std::string word = report.substr(0, colon);
    const bool is_path = word.empty() || word.find('/') != std::string::npos;
    if (is_path || FindForm(word) != nullptr) continue;
    return Fail(ErrorCode::kInvalidArgument, "--report: there is no form \"" + word + "\"" +
                                                 DidYouMean(word, names) +
                                                 "; a file of that name is ./" + report);
  }
  return {};
}

Status CheckReports(const CommonOptions& options) {
  CKPT_RETURN_IF_ERROR(CheckForms(options.reports));
  std::set<std::filesystem::path> seen;
  for (const ReportFile& file : ReportFilesOf(options)) {
    if (!file.form->commands.Has(options.command)) {
      return Fail(ErrorCode::kInvalidArgument, "--report: this command has no form \"" +
                                                   std::string(file.form->name) + "\"; it has " +
                                                   FormsOf(options.command));
    }
    if (file.path.empty()) return Fail(ErrorCode::kInvalidArgument, "--report: no file is named");
    CKPT_RETURN_IF_ERROR(CheckWrittenHere("--report", file.path));
    std::error_code ignored;
    std::filesystem::path path = std::filesystem::weakly_canonical(file.path, ignored);
    if (path.empty()) path = file.path;
    if (!formats::IsSpecialFile(file.path) && !seen.insert(path).second) {
      return Fail(ErrorCode::kInvalidArgument,
                  "--report: two reports are to go to \"" + file.path + "\"");
    }
  }
  return {};
}

}  // namespace

Status AllowNetwork(const CommonOptions& options) {
  formats::RemoteFiles& files = formats::RemoteFiles::Instance();
  if (!files.HasNames()) return {};
  if (options.no_network) {
    return Fail(ErrorCode::kInvalidArgument,
                "a URL is named, and --no-network allows files of this machine alone");
  }
  if (!options.quiet) files.set_progress(FetchLine());
  return files.Start();
}

Status CheckCommonOptions(const CommonOptions& options) {
  CKPT_RETURN_IF_ERROR(AllowNetwork(options));
  CKPT_RETURN_IF_ERROR(CheckReports(options));
  // There are settings of audits alone; a mistake in the file is one for every command.
  const bool has_settings =
      options.command == CommandId::kAudit || options.command == CommandId::kTrend;
  if (!options.config.empty() && !has_settings)
    CKPT_RETURN_IF_ERROR(ReadConfig(*options.read, options.config));
  if (!options.from.empty() && formats::FindFormat(options.from) == nullptr) {
    const std::vector<std::string> names = FormatNames();
    std::string known;
    for (const std::string& name : names) known += (known.empty() ? "" : ", ") + name;
    return Fail(ErrorCode::kInvalidArgument, "--from: unknown format \"" + options.from +
                                                 "\"; known: " + known +
                                                 DidYouMean(options.from, names));
  }
  return {};
}

namespace {

// A list is read to its end before any work: one that has none must not fill the memory.
constexpr std::size_t kMaxListBytes = std::size_t{64} << 20;

Result<std::string> ReadList(const CommonOptions& options) {
  const bool from_stdin = options.files_from == "-";
  const std::string name = from_stdin ? "stdin" : options.files_from;
  const auto fail = [&](ErrorCode code, std::string what) {
    return Fail(Error{code, std::move(what)}.In(name));
  };
  const int file = from_stdin ? ::dup(STDIN_FILENO)
                              : ::open(options.files_from.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY);
  if (file < 0) {
    const bool absent = errno == ENOENT || errno == ENOTDIR;
    return fail(absent ? ErrorCode::kNotFound : ErrorCode::kIo,
                "cannot open the list of inputs: " + std::generic_category().message(errno));
  }
  if (!from_stdin) options.read->Note(options.files_from);
  std::string text;
  std::array<char, 65536> chunk;
  ssize_t got = 0;
  while (text.size() <= kMaxListBytes) {
    got = ::read(file, chunk.data(), chunk.size());
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) break;
    text.append(chunk.data(), static_cast<std::size_t>(got));
  }
  const int failed = got < 0 ? errno : 0;
  ::close(file);
  if (failed != 0) {
    return fail(ErrorCode::kIo,
                "cannot read the list of inputs: " + std::generic_category().message(failed));
  }
  if (text.size() > kMaxListBytes) {
    return fail(ErrorCode::kLimitExceeded,
                "the list of inputs has more than " + std::to_string(kMaxListBytes >> 20) + " MiB");
  }
  return text;
}

}  // namespace

Result<std::vector<std::string>> NamedInputs(const CommonOptions& options,
                                             std::vector<std::string> inputs) {
  if (!options.files_from.empty()) {
    CKPT_ASSIGN_OR_RETURN(const std::string text, ReadList(options));
    std::istringstream lines(text);
    bool has_urls = false;
    for (std::string line; std::getline(lines, line, options.ends_with_nul ? '\0' : '\n');) {
      if (!options.ends_with_nul && !line.empty() && line.back() == '\r') line.pop_back();
      if (line.empty()) continue;
      if (line.find('\0') != std::string::npos) {
        return Fail(ErrorCode::kInvalidArgument,
                    "--files-from: its names end with NUL; -0 reads such a list");
      }
      if (formats::IsRemoteName(line)) {
        CKPT_ASSIGN_OR_RETURN(line, formats::RemoteFiles::Instance().Name(line));
        has_urls = true;
      }
      inputs.push_back(line);
    }
    if (has_urls) CKPT_RETURN_IF_ERROR(AllowNetwork(options));
  }
  if (inputs.empty()) return Fail(ErrorCode::kInvalidArgument, "no INPUT was given");
  return inputs;
}

Result<InputList> CollectInputs(const CommonOptions& options, std::vector<std::string> inputs) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> named,
                        NamedInputs(options, std::move(inputs)));
  // With a format that the user gives, the files of one checkpoint may be several.
  return ExpandFolders(named, {options.recursive, options.from.empty()});
}

formats::OpenOptions OpenOptionsOf(const CommonOptions& options) {
  formats::OpenOptions open;
  if (!options.from.empty()) open.format = options.from;
  formats::Limits& limits = open.limits;
  limits.memory_bytes = options.memory;
  for (std::uint64_t* limit :
       {&limits.index_bytes, &limits.metadata_bytes, &limits.hdf5_memory_bytes}) {
    *limit = std::max(*limit, options.memory);
  }
  return open;
}

}  // namespace ckpt::cli
