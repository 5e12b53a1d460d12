#include "cli/options.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <fstream>
#include <iostream>
#include <map>

#include "cli/choices.h"

namespace ckpt::cli {

void AddReportOptions(CLI::App& command, CommonOptions& options) {
  const std::map<std::string, ReportFormat> formats = {{"text", ReportFormat::kText},
                                                       {"json", ReportFormat::kJson},
                                                       {"jsonl", ReportFormat::kJsonLines}};
  const std::map<std::string, ColorMode> colors = {
      {"auto", ColorMode::kAuto}, {"always", ColorMode::kAlways}, {"never", ColorMode::kNever}};
  command.add_option("--format", options.format, "Form of the report: text, json or jsonl")
      ->transform(OneOf(formats))
      ->type_name("FORMAT");
  command.add_option("--report", options.report_file, "Write the report to FILE instead of stdout")
      ->type_name("FILE");
  command.add_option("--color", options.color, "Colour: auto (on a terminal), always or never")
      ->transform(OneOf(colors))
      ->type_name("WHEN");
  command.add_flag("-q,--quiet", options.quiet,
                   "No progress, and no text report unless there is something to say");
}

void AddInputOptions(CLI::App& command, CommonOptions& options, std::vector<std::string>* inputs) {
  command
      .add_option("--from", options.from, "Read the input as this format instead of detecting it")
      ->type_name("NAME");
  command
      .add_option("--memory", options.memory,
                  "What the index of an input may take in memory (such as 4GB), where its own size "
                  "does not justify it")
      ->transform(CLI::AsSizeValue(false))
      ->type_name("SIZE");
  if (inputs == nullptr) return;
  command.add_option("INPUT", *inputs,
                     "Checkpoints: a file, a TensorFlow prefix, a folder or a state file");
  command
      .add_option("--files-from", options.files_from,
                  "Read more inputs from FILE, one a line; - is stdin")
      ->type_name("FILE");
  command.add_option("-j,--jobs", options.jobs, "Inputs worked on at a time")
      ->check(CLI::Range(1U, 256U))
      ->type_name("N");
}

Status CheckCommonOptions(const CommonOptions& options) {
  if (!options.from.empty() && formats::FindFormat(options.from) == nullptr) {
    std::string known;
    for (const formats::Format& format : formats::BuiltinFormats()) {
      known += (known.empty() ? "" : ", ") + std::string(format.name);
    }
    return Fail(ErrorCode::kInvalidArgument,
                "--from: unknown format \"" + options.from + "\"; known: " + known);
  }
  return {};
}

Result<std::vector<std::string>> CollectInputs(const CommonOptions& options,
                                               std::vector<std::string> inputs) {
  if (!options.files_from.empty()) {
    std::ifstream file;
    if (options.files_from != "-") {
      file.open(options.files_from);
      if (!file)
        return Fail(Error{
            ErrorCode::kNotFound, "cannot open the list of inputs", options.files_from, {}, {}});
    }
    std::istream& lines = options.files_from == "-" ? std::cin : file;
    for (std::string line; std::getline(lines, line);) {
      if (!line.empty() && line.back() == '\r') line.pop_back();
      if (!line.empty()) inputs.push_back(line);
    }
    if (lines.bad())
      return Fail(
          Error{ErrorCode::kIo, "cannot read the list of inputs", options.files_from, {}, {}});
  }
  if (inputs.empty()) return Fail(ErrorCode::kInvalidArgument, "no INPUT was given");
  return inputs;
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
