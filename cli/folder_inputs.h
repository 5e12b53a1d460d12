// The inputs of a command that takes many: what a folder stands for, and every checkpoint once.
#pragma once

#include <string>
#include <vector>

#include "ckpt/error.h"
#include "cli/report/report.h"

namespace ckpt::cli {

struct InputList {
  std::vector<std::string> paths;  // in the order of the command line, a folder's in natural order
  std::vector<NotRead> not_read = {};
};

struct FolderOptions {
  bool recursive = false;  // look below folders
  bool named_once = true;  // files of one checkpoint that are named several times count once
};

// A folder that is one checkpoint stands for that; else for every checkpoint directly in it, those
// of its numbered sub-folders (checkpoint-500/) included, and with `recursive` for all below it.
// Links to folders are not followed, a file that has several names counts once. What is of a known
// kind, or may be, and is not read is in `not_read`. Nothing fails: a folder that cannot be read
// stands for itself, and fails when it is opened.
InputList ExpandFolders(const std::vector<std::string>& named, const FolderOptions& options);

// What `path` stands for where one checkpoint is taken: itself, or the only checkpoint in a folder
// that is none by itself. Several are kInvalidArgument with a list of them, the newest first. With
// `takes_below`, of a command that has -r, a folder whose checkpoints lie in folders below it is
// kUnfit.
Result<std::string> OneCheckpointOf(const std::string& path, bool takes_below);

}  // namespace ckpt::cli
