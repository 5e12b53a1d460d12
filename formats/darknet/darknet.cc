#include "formats/darknet/darknet.h"

#include <algorithm>
#include <utility>

#include "formats/container/file_cursor.h"
#include "formats/container/git_lfs.h"
#include "formats/container/stored_tensors.h"
#include "formats/darknet/cfg.h"
#include "formats/darknet/cfg_graph.h"
#include "formats/darknet/inference_network.h"
#include "formats/darknet/weight_arrays.h"
#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kCfg = ".cfg", kWeights = ".weights";
constexpr std::uint64_t kMaxCfgBytes = std::uint64_t{1} << 20;  // real ones have 50 KB
constexpr std::int32_t kTransposedVersion = 1000;

struct Header {
  std::int32_t major = 0, minor = 0, revision = 0;
  std::uint64_t seen = 0, size = 0;
};

Result<Header> ReadHeader(const RandomAccessFile& file) {
  FileCursor cursor(file);
  Header header;
  header.major = static_cast<std::int32_t>(cursor.Little(4));
  header.minor = static_cast<std::int32_t>(cursor.Little(4));
  header.revision = static_cast<std::int32_t>(cursor.Little(4));
  const bool wide = std::int64_t{10} * header.major + header.minor >= 2;
  header.seen = cursor.Little(wide ? 8 : 4);
  header.size = cursor.offset();
  CKPT_RETURN_IF_ERROR(cursor.status());
  if (header.major < 0 || header.minor < 0 || header.major > 2 * kTransposedVersion ||
      header.minor > 2 * kTransposedVersion) {
    return Fail(Error{ErrorCode::kCorrupt, "does not begin with a version of Darknet"}
                    .In(file.path())
                    .At(0));
  }
  if (header.major > kTransposedVersion || header.minor > kTransposedVersion) {
    return Fail(Error{ErrorCode::kUnsupported,
                      "is of a version that stores the weights of connected layers transposed",
                      file.path(),
                      0,
                      {}});
  }
  return header;
}

// Bytes of all arrays; nothing where that cannot be counted.
std::optional<std::uint64_t> BytesOf(const std::vector<DarknetArray>& arrays) {
  std::uint64_t total = 0;
  for (const DarknetArray& array : arrays) {
    std::uint64_t bytes = 0;
    if (!CheckedMul(array.shape.element_count(), sizeof(float), &bytes) ||
        !CheckedAdd(total, bytes, &total)) {
      return std::nullopt;
    }
  }
  return total;
}

// How many arrays `bytes` holds, if it ends exactly behind a layer.
std::optional<std::size_t> ArraysIn(const std::vector<DarknetArray>& arrays, std::uint64_t bytes) {
  std::uint64_t at = 0;
  for (std::size_t i = 0; i < arrays.size(); ++i) {
    const bool begins_layer = i == 0 || arrays[i].index != arrays[i - 1].index;
    if (at == bytes && begins_layer) return i;
    at += arrays[i].shape.element_count() * sizeof(float);
    if (at > bytes) return std::nullopt;
  }
  return at == bytes ? std::optional(arrays.size()) : std::nullopt;
}

class Opener {
 public:
  Opener(const Files& files, fs::path cfg, fs::path weights)
      : files_(files), cfg_path_(std::move(cfg)), weights_path_(std::move(weights)) {}

  Result<std::unique_ptr<Checkpoint>> Open() {
    CKPT_ASSIGN_OR_RETURN(std::shared_ptr<const RandomAccessFile> file, OpenBeside(weights_path_));
    if (auto pointer = GitLfsPointer(*file)) return Fail(*std::move(pointer));
    CKPT_ASSIGN_OR_RETURN(const Header header, ReadHeader(*file));
    CKPT_ASSIGN_OR_RETURN(const DarknetArrays found, ReadCfg(file->size() - header.size));
    const auto total = BytesOf(found.arrays);
    const auto present = total ? ArraysIn(found.arrays, file->size() - header.size) : std::nullopt;
    if (!present || *present == 0) {
      return Fail(Error{ErrorCode::kCorrupt,
                        "has " + std::to_string(file->size() - header.size) +
                            " bytes of numbers, where " + cfg_path_.filename().string() +
                            " calls for " + (total ? std::to_string(*total) : "more") +
                            ": another cfg, or cut short",
                        file->path(),
                        header.size,
                        {}});
    }
    Describe(header, found.arrays, *present);
    CKPT_RETURN_IF_ERROR(SortByName(manifest_, tensors_));
    auto graph = DarknetModelGraph(sections_, manifest_);
    if (graph) {
      manifest_.graph = *std::move(graph);
    } else {
      manifest_.note = "the cfg does not say what feeds what: " + graph.error().message;
    }
    auto opened = std::make_unique<StoredTensors>(
        "darknet", std::move(manifest_), std::vector{std::move(file)}, std::move(tensors_));
    opened->set_network([sections = std::move(sections_)](const Manifest& manifest) {
      return TranslateDarknet(sections, manifest, network::NetworkBuilder::Contradictions::kFail);
    });
    return opened;
  }

 private:
  Result<std::unique_ptr<RandomAccessFile>> OpenBeside(const fs::path& path) const {
    auto file = files_.Open(path);
    if (file || file.error().code != ErrorCode::kNotFound) return file;
    const bool weights = path == weights_path_;
    return Fail(Error{
        ErrorCode::kNotFound,
        weights ? "is not there: the numbers that " + cfg_path_.filename().string() + " describes"
                : "is not there: without the cfg nothing says what is in " +
                      weights_path_.filename().string()}
                    .In(path.string()));
  }

  Result<DarknetArrays> ReadCfg(std::uint64_t number_bytes) {
    CKPT_ASSIGN_OR_RETURN(const auto file, OpenBeside(cfg_path_));
    CKPT_ASSIGN_OR_RETURN(const std::string text, ReadWhole(*file, kMaxCfgBytes));
    const auto in_cfg = [&](Error error) {
      error.file = cfg_path_.string();
      return Fail(std::move(error));
    };
    const auto sections = ParseCfg(text);
    if (!sections) return in_cfg(sections.error());
    auto found = ArraysOfLayers(*sections, DarknetFork::kPjreddie);
    if (!found) return in_cfg(found.error());
    if (found->has_lone_batch_norm && BytesOf(found->arrays) != number_bytes) {
      auto other = ArraysOfLayers(*sections, DarknetFork::kAlexeyAb);
      if (other && BytesOf(other->arrays) == number_bytes) {
        manifest_.metadata["fork"] = "AlexeyAB: the size tells, batch norms have biases";
        found = std::move(other);
      }
    }
    manifest_.documents.push_back({"cfg", text});
    sections_ = *sections;
    return *std::move(found);
  }

  void Describe(const Header& header, const std::vector<DarknetArray>& arrays,
                std::size_t present) {
    manifest_.resolved = weights_path_.string();
    manifest_.files = {weights_path_.string(), cfg_path_.string()};
    manifest_.framework = Framework::kDarknet;
    manifest_.framework_version = std::to_string(header.major) + "." +
                                  std::to_string(header.minor) + "." +
                                  std::to_string(header.revision);
    manifest_.metadata["images seen"] = std::to_string(header.seen);
    manifest_.metadata["epsilon"] =
        "1e-5 inside the root; the CPU code of pjreddie's fork adds 1e-6 to the root instead";
    std::uint64_t offset = header.size;
    std::vector<TensorId> absent;
    for (std::size_t i = 0; i < arrays.size(); ++i) {
      const DarknetArray& array = arrays[i];
      const TensorId id{static_cast<std::uint32_t>(i)};
      TensorInfo info;
      info.name = info.stored_as = array.layer + "/" + array.name;
      info.owner = array.layer;
      info.local_name = array.name;
      info.dtype = Dtype::kF32;
      info.shape = array.shape;
      info.byte_size = array.shape.element_count() * sizeof(float);
      info.data_file = manifest_.resolved;
      info.data_present = i < present;
      if (!info.data_present) absent.push_back(id);
      StoredTensor stored;
      stored.ranges = {{0, offset, info.byte_size}};
      offset += info.byte_size;
      manifest_.tensors.push_back(std::move(info));
      tensors_.push_back(std::move(stored));
    }
    if (absent.empty()) return;
    manifest_.problems.push_back(
        {Error{ErrorCode::kNotFound,
               "ends behind layer " + std::to_string(arrays[present - 1].index) +
                   " of the cfg, as a file of pretrained first layers does",
               manifest_.resolved,
               {},
               {}},
         std::move(absent)});
  }

  const Files& files_;
  fs::path cfg_path_, weights_path_;
  Manifest manifest_;
  std::vector<StoredTensor> tensors_;
  std::vector<CfgSection> sections_;
};

}  // namespace

Match ProbeDarknet(const ProbeInput& input) {
  const std::string_view head(reinterpret_cast<const char*>(input.head.data()), input.head.size());
  if (input.file_name.ends_with(kCfg)) {
    const bool begins_net = head.find("[net]") != std::string_view::npos ||
                            head.find("[network]") != std::string_view::npos;
    return begins_net ? Match::kCertain : Match::kNo;
  }
  if (!input.file_name.ends_with(kWeights) || input.head.size() < 16) return Match::kNo;
  ByteReader reader(input.head);
  const std::uint32_t major = reader.U32(), minor = reader.U32();
  return major <= 2 * kTransposedVersion && minor <= 2 * kTransposedVersion ? Match::kLikely
                                                                            : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenDarknet(const Files& files, const fs::path& path,
                                                const Limits& limits) {
  (void)limits;  // both files are bounded by what is there, and the cfg by a limit of its own
  fs::path cfg = path, weights = path;
  cfg.replace_extension(kCfg);
  if (path.extension() == kCfg) weights.replace_extension(kWeights);
  return Opener(files, std::move(cfg), std::move(weights)).Open();
}

}  // namespace ckpt::formats
