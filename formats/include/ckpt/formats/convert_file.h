// Carries out a conversion that was planned: writes, reads back and compares, keeps a record, and
// puts all of it in place together.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/convert.h"
#include "ckpt/formats/format.h"

namespace ckpt::formats {

class FilesRead;

struct ConversionTarget {
  std::string path;                // OUTPUT
  const Format* format = nullptr;  // writable
  std::string record_path;
  std::vector<std::string> report_paths = {};  // are not written over
  // Of OUTPUT as it reads back, before it is put in place; a failure undoes all.
  std::function<Status(const Checkpoint& written)> accept = {};
  bool replace = false;                           // an OUTPUT that is there
  std::optional<std::uint64_t> shard_bytes = {};  // see WriteOptions
  bool digest = true;       // SHA-256 of the files of INPUT and OUTPUT, for the record
  bool one_thread = false;  // nothing is done beside the writing; the bytes are the same
};

// Can an output of `target` keep the documents (graph, config) of a source of that format?
bool TakesDocumentsOf(const Format& target, std::string_view source_format);

// Where the record of `output`, of that format if it is not null, is kept if nobody says otherwise:
// OUTPUT.ckpt.json. A model server's
// folder holds versions only, so that a SavedModel's lies in it: OUTPUT/assets.extra/ckpt.json.
std::string DefaultRecordPath(const std::string& output, const Format* format);

// Before any work: the format can be written, OUTPUT is no file of the input (kInvalidArgument),
// neither OUTPUT nor the record exists (kAlreadyExists) unless it may be replaced.
Status CheckTarget(const ConversionTarget& target, const Manifest& source);

// Finishes or takes back what a killed conversion left half done where this one will write.
void SettleInterrupted(const ConversionTarget& target);

// Fails, naming the tensor, where the target's format cannot hold what is planned.
Status CheckHeld(const ConversionTarget& target, const ConversionPlan& plan);

struct FileRecord {
  std::string name;
  std::uint64_t bytes = 0;
  std::string sha256;  // empty: was not taken
};
Result<std::vector<FileRecord>> DigestFiles(const Files& files,
                                            const std::vector<std::string>& paths);
struct ConversionRecord {
  std::vector<FileRecord> source, output;
};
// The text of the record.
using RecordWriter = std::function<std::string(const ConversionRecord&)>;

struct ConversionOutcome {
  std::vector<std::string> files;
  std::uint64_t bytes = 0;
};

// Writes OUTPUT beside its place, reads it back there and compares it with what was meant, then
// puts it and the record in place. On failure both are what they were before. `read` is what
// `source` was opened from: kIo where a file of it was changed meanwhile. `ops` is the serving
// graph for formats that hold one.
Result<ConversionOutcome> Convert(const Checkpoint& source, const ConversionPlan& plan,
                                  const ConversionTarget& target, const FilesRead& read,
                                  const RecordWriter& record,
                                  std::shared_ptr<const OpGraph> ops = nullptr);

}  // namespace ckpt::formats
