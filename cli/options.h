// Options that every command shares.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ckpt/audit.h"
#include "ckpt/formats/format.h"
#include "cli/arguments.h"
#include "cli/folder_inputs.h"
#include "cli/report/form.h"
#include "formats/container/files_read.h"

namespace ckpt::cli {

enum class ColorMode : std::uint8_t { kAuto, kAlways, kNever };

struct CommonOptions {
  CommandId command = CommandId::kInspect;
  std::string form = "text";         // --format: a row of Forms()
  std::vector<std::string> reports;  // --report: FILE, or FORM:FILE
  ColorMode color = ColorMode::kAuto;
  bool quiet = false;
  bool verbose = false;               // -v: text leaves nothing out
  std::optional<Severity> show = {};  // --show: the mildest findings that are listed
  std::string from;                   // --from; empty: by content
  std::string files_from;             // --files-from; "-" is stdin
  bool ends_with_nul = false;         // -0: names in that list end with NUL, not with a line
  bool recursive = false;
  unsigned jobs = 1;
  std::string config;  // --config; empty: the nearest ckpt.toml
  bool no_config = false;
  bool no_network = false;   // --no-network: URLs are refused
  std::uint64_t memory = 0;  // --memory; 0: the limits of the library
  // Through which the command reads, so that it knows what it must not write over.
  std::shared_ptr<const formats::FilesRead> read = std::make_shared<const formats::FilesRead>();
};

// --format with the forms that `id` can be reported in, and where the report goes.
void AddReportOptions(Arguments& command, CommandId id, CommonOptions& options);
void AddColorOption(Arguments& command, CommonOptions& options);
// --epsilon and --momentum, for `what` ("layers") that nothing records one of.
void AddAnalysisOptions(Arguments& command, AnalysisOptions& analysis, const std::string& what);
// --from and --memory, and for commands that take many inputs --files-from and --jobs.
void AddInputOptions(Arguments& command, CommonOptions& options, std::vector<std::string>* inputs);

// A report that goes to a file.
struct ReportFile {
  const FormRow* form;
  std::string path;
  bool in_place_of_stdout;  // FILE alone: what would stand on stdout
};
std::vector<ReportFile> ReportFilesOf(const CommonOptions& options);
std::vector<std::string> ReportPathsOf(const CommonOptions& options);
// kInvalidArgument where `path`, that is to be written as `what` ("OUTPUT"), is a URL.
Status CheckWrittenHere(const std::string& what, const std::string& path);
// Does one of the forms that were asked for draw the distributions of batch norms?
bool Draws(const CommonOptions& options);

// kInvalidArgument for a format or a form that does not exist; nothing is opened.
Status CheckCommonOptions(const CommonOptions& options);
// Starts to listen for what the URLs named so far stand for, if there are any; kInvalidArgument
// with --no-network. Before there are threads.
Status AllowNetwork(const CommonOptions& options);
// The inputs of the command line and of --files-from, in that order.
Result<std::vector<std::string>> NamedInputs(const CommonOptions& options,
                                             std::vector<std::string> inputs);
// The same, folders expanded.
Result<InputList> CollectInputs(const CommonOptions& options, std::vector<std::string> inputs);

formats::OpenOptions OpenOptionsOf(const CommonOptions& options);

}  // namespace ckpt::cli
