// ckpt.toml: found, and read. toml++ has its only home behind this header.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include "ckpt/result.h"
#include "cli/policy/audit_config.h"
#include "formats/container/files_read.h"

namespace ckpt::cli {

// The settings in `text`. Errors are kInvalidArgument and name `path`, line and column.
Result<AuditConfig> ParseConfig(const std::string& text, const std::string& path);

// The file that the user names with --config, whosever it is.
Result<AuditConfig> ReadConfig(const formats::FilesRead& files, const std::string& path);

// The nearest ckpt.toml, from the current folder upwards, up to and with the first folder that has
// a .git, or the home folder. The folder of an input plays no part: a downloaded checkpoint must
// not bring the settings that it is judged by. kInvalidArgument for one that somebody else owns or
// may write.
Result<std::optional<AuditConfig>> FindConfig(const formats::FilesRead& files);

}  // namespace ckpt::cli
