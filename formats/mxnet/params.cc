#include <algorithm>
#include <cctype>
#include <optional>
#include <utility>

#include "ckpt/elements.h"
#include "formats/container/git_lfs.h"
#include "formats/container/stored_tensors.h"
#include "formats/encoding/byte_reader.h"
#include "formats/keras/model/config_json.h"
#include "formats/mxnet/inference_network.h"
#include "formats/mxnet/mxnet.h"
#include "formats/mxnet/ndarray_list.h"
#include "formats/mxnet/symbol_graph.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kArgument = "arg:", kAuxiliary = "aux:", kSuffix = ".params";
constexpr std::uint64_t kListMagic = 0x112;

// "net-symbol.json" for "net-0010.params" and "net.params".
fs::path SymbolBeside(const fs::path& path) {
  std::string stem = path.filename().string();
  if (stem.ends_with(kSuffix)) stem.resize(stem.size() - kSuffix.size());
  const std::size_t dash = stem.rfind('-');
  const auto digit = [](char c) { return std::isdigit(static_cast<unsigned char>(c)) != 0; };
  if (dash != std::string::npos && dash + 1 < stem.size() &&
      std::all_of(stem.begin() + static_cast<std::ptrdiff_t>(dash) + 1, stem.end(), digit)) {
    stem.resize(dash);
  }
  return path.parent_path() / (stem + "-symbol.json");
}

class Opener {
 public:
  Opener(const RandomAccessFile& file, fs::path path) : file_(file), path_(std::move(path)) {
    manifest_.resolved = path_.string();
    manifest_.files = {manifest_.resolved};
    manifest_.framework = Framework::kMxNet;
  }

  void Add(StoredNdarray array, std::size_t index) {
    TensorInfo info;
    info.stored_as = array.name.empty() ? std::to_string(index) : array.name;
    info.name = info.stored_as;
    for (const std::string_view kind : {kArgument, kAuxiliary}) {
      if (!info.name.starts_with(kind) || info.name.size() == kind.size()) continue;
      info.trainable = kind == kArgument;
      info.name.erase(0, kind.size());
      break;
    }
    info.dtype = array.dtype.value_or(Dtype::kF32);
    info.shape = array.shape.value_or(Shape());
    info.byte_size = info.shape.element_count() * (BitSize(info.dtype) / 8);
    info.data_file = path_.string();
    StoredTensor stored;
    stored.ranges = {{0, array.offset, array.size}};
    if (array.sparse || !array.shape) {
      info.data_present = false;
      info.byte_size = 0;
      manifest_.problems.push_back(
          {Error{ErrorCode::kUnsupported,
                 array.sparse ? "is a sparse array, which is not read"
                              : "was never filled: the file has no shape for it",
                 file_.path(), array.offset, info.name},
           {TensorId{static_cast<std::uint32_t>(tensors_.size())}}});
    }
    manifest_.tensors.push_back(std::move(info));
    tensors_.push_back(std::move(stored));
  }

  Status ReadGraph(const Files& files) {
    const fs::path beside = SymbolBeside(path_);
    if (!files.Exists(beside)) {
      manifest_.note = "no " + beside.filename().string() +
                       " beside it: nothing tells epsilon, or whether gamma counts (fix_gamma)";
      return {};
    }
    CKPT_ASSIGN_OR_RETURN(const auto file, files.Open(beside));
    CKPT_ASSIGN_OR_RETURN(const std::string text, ReadWhole(*file, keras::kMaxConfigBytes));
    auto symbol = ReadSymbolNodes(text);
    if (!symbol) {
      Error error = symbol.error();
      error.file = beside.string();
      return Fail(std::move(error));
    }
    manifest_.graph = GraphOfSymbol(*symbol, manifest_);
    manifest_.files.push_back(beside.string());
    for (const TensorId id : FixedGammas(*symbol, manifest_)) FixGamma(id);
    symbol_ = *std::move(symbol);
    return {};
  }

  Result<std::unique_ptr<Checkpoint>> Finish(std::shared_ptr<const RandomAccessFile> file) {
    auto opened = std::make_unique<StoredTensors>(
        "mxnet", std::move(manifest_), std::vector{std::move(file)}, std::move(tensors_));
    if (!symbol_) return opened;
    opened->set_network([symbol = *std::move(symbol_)](const Manifest& manifest) {
      return TranslateMxnet(symbol, manifest, network::NetworkBuilder::Contradictions::kFail)
          .network;
    });
    return opened;
  }

  Status Sort() { return SortByName(manifest_, tensors_); }

 private:
  void FixGamma(TensorId id) {
    const TensorInfo& info = manifest_.tensors[id.index];
    if (!IsFloat(info.dtype) || BitSize(info.dtype) % 8 != 0) return;
    manifest_.metadata["fix_gamma of " + info.name] =
        "true: read as ones, as the layer computes, whatever the file holds";
    const std::size_t bytes = BitSize(info.dtype) / 8;
    std::vector<std::byte> one(bytes);
    const double value = 1;
    EncodeFromDouble(info.dtype, std::span(&value, 1), one);
    tensors_[id.index].stored_element_bytes = bytes;
    tensors_[id.index].decode = [one](std::span<const std::byte> in, std::vector<std::byte>& out) {
      for (std::size_t i = 0; i < in.size() / one.size(); ++i) {
        out.insert(out.end(), one.begin(), one.end());
      }
    };
  }

  const RandomAccessFile& file_;
  fs::path path_;
  Manifest manifest_;
  std::vector<StoredTensor> tensors_;
  std::optional<Symbol> symbol_ = {};
};

}  // namespace

Match ProbeMxnet(const ProbeInput& input) {
  if (input.head.size() < 24) return Match::kNo;
  ByteReader reader(input.head);
  return reader.U64() == kListMagic && reader.U64() == 0 ? Match::kCertain : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenMxnet(const Files& files, const fs::path& path,
                                              const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(std::shared_ptr<const RandomAccessFile> file, files.Open(path));
  if (auto pointer = GitLfsPointer(*file)) return Fail(*std::move(pointer));
  CKPT_ASSIGN_OR_RETURN(auto arrays, ReadNdarrayList(*file, limits));
  Opener opener(*file, path);
  for (std::size_t i = 0; i < arrays.size(); ++i) opener.Add(std::move(arrays[i]), i);
  CKPT_RETURN_IF_ERROR(opener.Sort());
  CKPT_RETURN_IF_ERROR(opener.ReadGraph(files));
  return opener.Finish(std::move(file));
}

}  // namespace ckpt::formats
