#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "formats/container/zip_archive.h"
#include "formats/encoding/json_events.h"
#include "formats/torch/archive_reader.h"
#include "formats/torch/legacy_reader.h"
#include "formats/torch/torch.h"
#include "formats/torch/torch_shards.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kIndexSuffix = ".bin.index.json";
constexpr std::string_view kPickle = "data.pkl";
constexpr std::size_t kTarMagicOffset = 257;

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

bool LooksLikeIndex(std::span<const std::byte> head) {
  const std::string_view text = AsText(head);
  const std::size_t start = SkipJsonSpace(text);
  return start < text.size() && text[start] == '{';
}

bool IsOldTar(std::span<const std::byte> head) {
  const std::string_view text = AsText(head);
  const bool tar = text.size() > kTarMagicOffset + 5 && text.substr(kTarMagicOffset, 5) == "ustar";
  return tar && (text.starts_with("sys_info") || text.starts_with("pickle") ||
                 text.starts_with("storages") || text.starts_with("tensors"));
}

// torch.save puts data.pkl first; large directories do not show it in the last bytes.
bool HasPickle(const ProbeInput& input) {
  if (AsText(input.head).find(kPickle) != std::string_view::npos) return true;
  const std::vector<std::string_view> names = ZipNamesInTail(input.tail);
  return std::any_of(names.begin(), names.end(), [](std::string_view name) {
    return name == kPickle || name.ends_with("/data.pkl");
  });
}

}  // namespace

Match ProbeTorch(const ProbeInput& input) {
  if (StartsLikeZip(input.head)) return HasPickle(input) ? Match::kCertain : Match::kNo;
  if (StartsLikeLegacyTorch(input.head) || IsOldTar(input.head)) return Match::kCertain;
  if (!LooksLikeIndex(input.head)) return Match::kNo;
  constexpr std::string_view kKey = "\"weight_map\"", kShard = ".bin\"";
  const auto shown = [&](std::string_view text) {
    return AsText(input.head).find(text) != std::string_view::npos ||
           AsText(input.tail).find(text) != std::string_view::npos;
  };
  if (shown(kKey) && shown(kShard)) return Match::kCertain;
  return input.file_name.ends_with(kIndexSuffix) ? Match::kCertain : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenTorch(const Files& files, const std::filesystem::path& path,
                                              const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> opened, files.Open(path));
  std::array<std::byte, 512> bytes;
  const auto head = std::span(bytes).first(
      static_cast<std::size_t>(std::min<std::uint64_t>(opened->size(), bytes.size())));
  CKPT_RETURN_IF_ERROR(opened->ReadAt(0, head));
  if (LooksLikeIndex(head)) return OpenTorchShards(files, *opened, path, limits);
  if (StartsLikeLegacyTorch(head)) return OpenLegacyTorch(std::move(opened), limits);
  if (IsOldTar(head)) {
    return Fail(
        Error{ErrorCode::kUnsupported,
              "is a tar file of PyTorch before 0.1.10, which is not read; a PyTorch of that "
              "time to 2.5 can save it anew"}
            .In(path.string()));
  }
  if (StartsLikeZip(head)) return OpenTorchArchive(std::move(opened), limits);
  return Fail(Error{ErrorCode::kCorrupt, "is neither an archive nor a stream of torch.save"}
                  .In(path.string())
                  .At(0));
}

Result<std::optional<ResolvedPath>> ResolveTorch(const Files& files, const std::string& path) {
  if (!files.IsDirectory(path)) return std::optional<ResolvedPath>();
  for (const char* name : {"pytorch_model.bin.index.json", "pytorch_model.bin"}) {
    if (files.Exists(std::filesystem::path(path) / name)) return FileOfFolder(path, name);
  }
  return std::optional<ResolvedPath>();
}

}  // namespace ckpt::formats
