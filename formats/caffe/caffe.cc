#include "formats/caffe/caffe.h"

#include <algorithm>
#include <bit>
#include <cctype>
#include <cstring>
#include <map>
#include <set>
#include <utility>

#include "formats/caffe/inference_network.h"
#include "formats/caffe/net_graph.h"
#include "formats/caffe/net_parameter.h"
#include "formats/container/git_lfs.h"
#include "formats/container/stored_tensors.h"
#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

bool HasKernel(const CaffeLayer& layer) {
  return layer.type == "Convolution" || layer.type == "Deconvolution" ||
         layer.type == "InnerProduct";
}

// "weight" of the blob of that index; "blob2" where it has none.
std::string NameOf(const CaffeLayer& layer, std::size_t blob, bool of_batch_norm) {
  const std::string& type = layer.type;
  if (HasKernel(layer) && blob == 0) return "weight";
  if (HasKernel(layer) && blob == 1) return "bias";
  if (type == "BatchNorm" && blob == 0) return "mean";
  if (type == "BatchNorm" && blob == 1) return "variance";
  const bool of_nvidia = type == "BatchNorm" && layer.blobs.size() == kBlobsWithScaleAndBias;
  if (of_nvidia && blob == 3) return "gamma";
  if (of_nvidia && blob == 4) return "beta";
  if (type == "Scale" && blob == 0) return of_batch_norm ? "gamma" : "scale";
  if (type == "Scale" && blob == 1) return of_batch_norm ? "beta" : "bias";
  if (type == "Bias" && blob == 0) return "bias";
  if (type == "PReLU" && blob == 0) return "slope";
  return "blob" + std::to_string(blob);
}

template <class Float>
void Multiply(std::span<const std::byte> in, double factor, std::vector<std::byte>& out) {
  out.resize(in.size());
  for (std::size_t i = 0; i + sizeof(Float) <= in.size(); i += sizeof(Float)) {
    Float value;
    std::memcpy(&value, in.data() + i, sizeof value);
    value = value * static_cast<Float>(factor);
    std::memcpy(out.data() + i, &value, sizeof value);
  }
}

class Opener {
 public:
  Opener(const RandomAccessFile& file, std::vector<CaffeLayer> layers)
      : file_(file), layers_(std::move(layers)), scales_(ScalesOfBatchNorms(layers_)) {}

  Status Build() {
    manifest_.resolved = file_.path();
    manifest_.files = {manifest_.resolved};
    manifest_.framework = Framework::kCaffe;
    for (std::size_t i = 0; i < layers_.size(); ++i) CKPT_RETURN_IF_ERROR(AddLayer(i));
    CKPT_RETURN_IF_ERROR(SortByName(manifest_, tensors_));
    manifest_.graph = CaffeModelGraph(layers_, manifest_);
    return {};
  }

  Result<std::unique_ptr<Checkpoint>> Finish(std::shared_ptr<const RandomAccessFile> file) {
    auto opened = std::make_unique<StoredTensors>(
        "caffe", std::move(manifest_), std::vector{std::move(file)}, std::move(tensors_));
    opened->set_network([layers = std::move(layers_)](const Manifest& manifest) {
      return TranslateCaffe(layers, manifest, network::NetworkBuilder::Contradictions::kFail)
          .network;
    });
    return opened;
  }

 private:
  Status AddLayer(std::size_t index) {
    CaffeLayer& layer = layers_[index];
    std::optional<double> factor;
    constexpr std::size_t kFactor = kStatisticsAndFactor - 1;
    if (layer.type == "BatchNorm" && layer.blobs.size() > kFactor) {
      CKPT_ASSIGN_OR_RETURN(factor, ReadFactor(layer.blobs[kFactor], layer));
    }
    const auto joined = scales_.find(index);
    const bool of_batch_norm = joined != scales_.end();
    const std::string& owner = of_batch_norm ? layers_[joined->second].name : layer.name;
    for (std::size_t blob = 0; blob < layer.blobs.size(); ++blob) {
      if (factor && blob == kFactor) continue;
      std::string name = NameOf(layer, blob, of_batch_norm);
      Add(layer, blob, owner, std::move(name), blob < kFactor ? factor : std::nullopt);
      layer.blobs[blob].tensor = manifest_.tensors.back().name;
    }
    return {};
  }

  // What mean and variance are multiplied by.
  Result<double> ReadFactor(const CaffeBlob& blob, const CaffeLayer& layer) {
    if (blob.shape.element_count() != 1) {
      return Fail(
          Error{ErrorCode::kCorrupt,
                "the layer \"" + layer.name + "\" has a scale factor of " + ToString(blob.shape),
                file_.path(),
                layer.offset,
                {}});
    }
    std::array<std::byte, 8> bytes{};
    const auto stored = std::span(bytes).first(static_cast<std::size_t>(blob.size));
    CKPT_RETURN_IF_ERROR(file_.ReadAt(blob.offset, stored));
    const std::uint64_t bits = ByteReader(bytes).U64();
    const double factor =
        blob.is_double
            ? std::bit_cast<double>(bits)
            : static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(bits)));
    manifest_.metadata["scale factor of " + layer.name] =
        factor == 0 ? "0: never trained; mean and variance count as 0" : std::to_string(factor);
    return factor == 0 ? 0.0 : 1.0 / factor;
  }

  void Add(const CaffeLayer& layer, std::size_t index, const std::string& owner, std::string name,
           std::optional<double> factor) {
    const CaffeBlob& blob = layer.blobs[index];
    TensorInfo info;
    info.owner = owner;
    info.local_name = std::move(name);
    info.name = owner + "/" + info.local_name;
    // Layers may share a name (one for each phase).
    for (int copy = 2; !taken_.insert(info.name).second; ++copy) {
      info.name = owner + "/" + info.local_name + "_" + std::to_string(copy);
    }
    info.stored_as = layer.name + ":" + std::to_string(index);
    info.dtype = blob.is_double ? Dtype::kF64 : Dtype::kF32;
    info.shape = blob.legacy_shape ? Squeezed(blob.shape, layer, index) : blob.shape;
    info.byte_size = blob.size;
    info.data_file = file_.path();
    StoredTensor stored;
    stored.ranges = {{0, blob.offset, blob.size}};
    if (factor) {
      stored.stored_element_bytes = blob.is_double ? sizeof(double) : sizeof(float);
      stored.decode = [by = *factor, wide = blob.is_double](std::span<const std::byte> in,
                                                            std::vector<std::byte>& out) {
        wide ? Multiply<double>(in, by, out) : Multiply<float>(in, by, out);
      };
    }
    manifest_.tensors.push_back(std::move(info));
    tensors_.push_back(std::move(stored));
  }

  // The old form pads all shapes to four dimensions: a bias is [1, 1, 1, N], a dense kernel
  // [1, 1, out, in].
  static Shape Squeezed(const Shape& shape, const CaffeLayer& layer, std::size_t index) {
    const bool kernel = HasKernel(layer) && index == 0;
    if (kernel && layer.type != "InnerProduct") return shape;
    const std::size_t keep = kernel ? 2 : 1;
    std::size_t first = 0;
    while (shape.rank() - first > keep && shape[first] == 1) ++first;
    const auto dims = shape.dims().subspan(first);
    return Shape::FromDims(dims).value_or(shape);
  }

  const RandomAccessFile& file_;
  std::vector<CaffeLayer> layers_;
  const std::map<std::size_t, std::size_t> scales_;
  Manifest manifest_;
  std::vector<StoredTensor> tensors_;
  std::set<std::string> taken_;
};

// Does a layer message begin here: a name, then a type in letters?
bool BeginsLayer(ByteReader& reader) {
  constexpr std::uint32_t kName = 0x0a, kType = 0x12;
  (void)reader.Varint32();  // its size
  if (reader.Varint32() != kName) return false;
  (void)reader.Text(reader.Varint32());
  if (reader.Varint32() != kType) return false;
  const std::string_view type = reader.Text(reader.Varint32());
  return reader.ok() && !type.empty() && std::all_of(type.begin(), type.end(), [](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0;
         });
}

}  // namespace

Match ProbeCaffe(const ProbeInput& input) {
  constexpr std::uint32_t kName = 0x0a, kInput = 0x1a, kInputDim = 0x20, kInputShape = 0x42;
  constexpr std::uint32_t kLayer = 100 << 3 | 2, kOldLayer = 0x12;
  const bool by_suffix = input.file_name.ends_with(".caffemodel");
  ByteReader reader(input.head);
  while (reader.ok() && reader.remaining() > 0) {
    const std::uint32_t tag = reader.Varint32();
    if (tag == kLayer) return BeginsLayer(reader) ? Match::kCertain : Match::kNo;
    if (tag == kOldLayer) return by_suffix ? Match::kLikely : Match::kNo;
    if (tag == kName || tag == kInput || tag == kInputShape) {
      (void)reader.Text(reader.Varint32());
    } else if (tag == kInputDim) {
      (void)reader.Varint64();
    } else {
      return Match::kNo;
    }
  }
  return Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenCaffe(const Files& files, const std::filesystem::path& path,
                                              const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(std::shared_ptr<const RandomAccessFile> file, files.Open(path));
  if (auto pointer = GitLfsPointer(*file)) return Fail(*std::move(pointer));
  CKPT_ASSIGN_OR_RETURN(auto layers, ReadNetParameter(*file, limits));
  Opener opener(*file, std::move(layers));
  CKPT_RETURN_IF_ERROR(opener.Build());
  return opener.Finish(std::move(file));
}

}  // namespace ckpt::formats
