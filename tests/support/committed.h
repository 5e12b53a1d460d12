// Writes one output by itself, as a conversion would, and puts it in place.
#pragma once

#include <cstdint>
#include <filesystem>

#include "ckpt/formats/format.h"
#include "formats/container/atomic_output.h"

namespace ckpt::testing {

struct CommittedOptions {
  bool replace = false;
  std::uint64_t shard_bytes = formats::WriteOptions{}.shard_bytes;
};

// `write`: a Format::write.
template <typename Write>
Result<formats::WriteSummary> Committed(Write write, const std::filesystem::path& path,
                                        const formats::OutputModel& model,
                                        const CommittedOptions& options = {}) {
  using formats::AtomicOutput;
  AtomicOutput output(options.replace ? AtomicOutput::Overwrite::kReplace
                                      : AtomicOutput::Overwrite::kRefuse);
  formats::WriteOptions write_options;
  write_options.shard_bytes = options.shard_bytes;
  CKPT_ASSIGN_OR_RETURN(formats::WriteSummary summary, write(output, path, model, write_options));
  CKPT_RETURN_IF_ERROR(output.Commit());
  return summary;
}

}  // namespace ckpt::testing
