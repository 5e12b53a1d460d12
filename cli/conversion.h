// Carries out a conversion that was planned: writes, reopens and checks, and keeps the record.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "ckpt/convert.h"
#include "ckpt/formats/format.h"
#include "cli/report_json.h"

namespace ckpt::cli {

struct ConversionTarget {
  std::string path;                         // OUTPUT
  const formats::Format* format = nullptr;  // writable
  std::string record_path;
  bool replace = false;                           // --force
  std::optional<std::uint64_t> shard_bytes = {};  // --shard-size
  // Judges OUTPUT as it reads back; on failure nothing of it is left.
  std::function<Status(const Checkpoint& written)> accept = {};
};

// Before any work: the format can be written, OUTPUT is no file of the input (kInvalidArgument),
// neither OUTPUT nor the record exists (kAlreadyExists) unless it may be replaced.
Status CheckTarget(const ConversionTarget& target, const Manifest& source);

// Fails, naming the tensor, where the target's format cannot hold what is planned.
Status CheckHeld(const ConversionTarget& target, const ConversionPlan& plan);

struct ConversionOutcome {
  std::vector<std::string> files;
  std::uint64_t bytes = 0;
};

// Writes OUTPUT, reads it back and compares it with what was meant, then writes the record
// (what `record` gives by then, with the files and their digests). On failure nothing of it is
// left. `ops` is the serving graph for formats that hold one.
Result<ConversionOutcome> Convert(const Checkpoint& source, const ConversionPlan& plan,
                                  const ConversionTarget& target,
                                  const std::function<Json()>& record,
                                  std::shared_ptr<const OpGraph> ops = nullptr);

}  // namespace ckpt::cli
