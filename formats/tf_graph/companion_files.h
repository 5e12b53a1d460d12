// The files beside the graph of a SavedModel that belong to it: `assets` and `assets.extra`.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/atomic_output.h"
#include "formats/container/file.h"

namespace ckpt::formats {

struct CompanionFile {
  std::string name;              // "assets/vocabulary.txt"
  std::filesystem::path folder;  // of the SavedModel
};

// All of them, sorted by name; an earlier conversion's record is none. kLimitExceeded for folders
// that are nested or filled beyond reason.
Result<std::vector<CompanionFile>> ListCompanions(const Files& files,
                                                  const std::filesystem::path& folder);

// Copies a file to `target`, in chunks. A link on the way to it is refused as Files::OpenBeneath
// does.
Status CopyCompanion(const CompanionFile& file, const std::filesystem::path& target,
                     AtomicOutput& output, WriteSummary& summary);

}  // namespace ckpt::formats
