// The ways in which people name a TensorFlow checkpoint.
//
// A prefix, PREFIX.index, PREFIX.data-00000-of-00001, PREFIX.meta with an index beside it, a
// folder, or the text file called `checkpoint` in which TensorFlow keeps the list of a run's
// checkpoints (a CheckpointState message). The prefix may be empty: "dir/" for dir/.index.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/file.h"

namespace ckpt::formats {

struct ResolvedBundle {
  std::string prefix;  // PREFIX.index exists; of a V1 checkpoint its file, or one of its files
  std::string note;    // what led there, for people; empty if `path` named the checkpoint itself
  // Prefixes of the run's older checkpoints that exist, oldest first: only where `path` named a
  // folder or a state file.
  std::vector<std::string> older;
  bool v1 = false;  // of the V1 format
};

// Nothing where `path` names no TensorFlow checkpoint: it may be a file of another format, or not
// exist. An error where it does name one that cannot be had: an absent index with data shards left
// behind, a state file that names what is not there, a folder with several and no latest one.
//
// Paths in a state file are taken below its folder only: of an absolute path (often one of another
// machine) or one with "..", the last component counts.
//
// A V1 checkpoint is resolved where `path` is its prefix, its .meta, a folder or a state file; its
// own files stand for themselves and are left to whoever opens them.
Result<std::optional<ResolvedBundle>> ResolveTfBundle(const Files& files, const std::string& path);

// The same for one format alone, as its row asks: Format::resolve.
Result<std::optional<ResolvedPath>> ResolveTfV2(const Files& files, const std::string& path);
Result<std::optional<ResolvedPath>> ResolveTfV1(const Files& files, const std::string& path);

}  // namespace ckpt::formats
