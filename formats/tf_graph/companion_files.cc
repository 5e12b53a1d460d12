#include "formats/tf_graph/companion_files.h"

#include <algorithm>
#include <utility>

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMaxFiles = 100'000;
constexpr int kMaxDepth = 16;
constexpr std::size_t kChunkBytes = std::size_t{1} << 20;
constexpr std::string_view kRecord = "assets.extra/ckpt.json";

class Listing {
 public:
  Listing(const Files& files, fs::path folder) : files_(files), folder_(std::move(folder)) {}

  Status Add(const std::string& name, int depth) {
    const fs::path path = folder_ / name;
    if (!files_.IsDirectory(path)) {
      if (name != kRecord && files_.Exists(path)) found_.push_back({name, folder_});
    } else {
      CKPT_ASSIGN_OR_RETURN(const std::vector<std::string> names, files_.List(path));
      for (const std::string& inner : names) {
        if (depth < kMaxDepth) CKPT_RETURN_IF_ERROR(Add(name + '/' + inner, depth + 1));
      }
      if (depth == kMaxDepth && !names.empty()) return Beyond(path);
    }
    return ++entries_ > kMaxFiles ? Beyond(path) : Status();
  }

  std::vector<CompanionFile> Take() { return std::move(found_); }

 private:
  static Status Beyond(const fs::path& path) {
    return Fail(Error{ErrorCode::kLimitExceeded,
                      "the assets are more than " + std::to_string(kMaxFiles) +
                          " files, or nested deeper than " + std::to_string(kMaxDepth) + " folders"}
                    .In(path.string()));
  }

  const Files& files_;
  const fs::path folder_;
  std::vector<CompanionFile> found_;
  std::size_t entries_ = 0;  // files and folders
};

}  // namespace

Result<std::vector<CompanionFile>> ListCompanions(const Files& files, const fs::path& folder) {
  Listing listing(files, folder);
  for (const char* name : {"assets", "assets.extra"}) {
    if (files.IsDirectory(folder / name)) CKPT_RETURN_IF_ERROR(listing.Add(name, 0));
  }
  return listing.Take();
}

Status CopyCompanion(const CompanionFile& file, const fs::path& target, AtomicOutput& output,
                     WriteSummary& summary) {
  CKPT_ASSIGN_OR_RETURN(const auto source, SystemFiles().OpenBeneath(file.folder, file.name));
  CKPT_ASSIGN_OR_RETURN(OutputFile* const copy, output.Create(target, source->size()));
  std::vector<std::byte> chunk(
      static_cast<std::size_t>(std::min<std::uint64_t>(kChunkBytes, source->size())));
  for (std::uint64_t at = 0; at < source->size(); at += chunk.size()) {
    chunk.resize(
        static_cast<std::size_t>(std::min<std::uint64_t>(chunk.size(), source->size() - at)));
    CKPT_RETURN_IF_ERROR(source->ReadAt(at, chunk));
    CKPT_RETURN_IF_ERROR(copy->Append(chunk));
  }
  summary.files.push_back(target.string());
  summary.bytes += source->size();
  return {};
}

}  // namespace ckpt::formats
