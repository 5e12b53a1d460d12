#include "formats/container/stored_tensors.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "formats/container/range_stream.h"

namespace ckpt::formats {
namespace {

using SharedFile = StoredTensors::SharedFile;

class RangesStream : public TensorStream {
 public:
  RangesStream(const StoredTensor& tensor, const std::vector<SharedFile>& files, std::string name)
      : tensor_(tensor), files_(files), name_(std::move(name)) {
    for (const FileRange& range : tensor.ranges) left_ += range.size;
    chunk_bytes_ = kStreamChunkBytes / tensor.stored_element_bytes * tensor.stored_element_bytes;
  }

  Result<std::span<const std::byte>> Next() override {
    chunk_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(left_, chunk_bytes_)));
    for (auto out = std::span(chunk_); !out.empty();) {
      const FileRange& range = tensor_.ranges[range_];
      const auto size =
          static_cast<std::size_t>(std::min<std::uint64_t>(range.size - taken_, out.size()));
      if (const Status read = files_[range.file]->ReadAt(range.offset + taken_, out.first(size));
          !read) {
        Error error = read.error();
        error.tensor = name_;
        return Fail(std::move(error));
      }
      out = out.subspan(size);
      taken_ += size;
      if (taken_ < range.size) continue;
      ++range_;
      taken_ = 0;
    }
    left_ -= chunk_.size();
    if (!tensor_.decode) return std::span<const std::byte>(chunk_);
    decoded_.clear();
    tensor_.decode(chunk_, decoded_);
    return std::span<const std::byte>(decoded_);
  }

 private:
  const StoredTensor& tensor_;
  const std::vector<SharedFile>& files_;
  std::string name_;
  std::uint64_t left_ = 0;
  std::size_t chunk_bytes_;
  std::size_t range_ = 0;
  std::uint64_t taken_ = 0;  // of the current range
  std::vector<std::byte> chunk_, decoded_;
};

class LiteralStream : public TensorStream {
 public:
  explicit LiteralStream(std::span<const std::byte> bytes) : bytes_(bytes) {}
  Result<std::span<const std::byte>> Next() override {
    const auto size = std::min(bytes_.size(), kStreamChunkBytes);
    const auto chunk = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return chunk;
  }

 private:
  std::span<const std::byte> bytes_;
};

}  // namespace

StoredTensors::StoredTensors(std::string_view format, Manifest manifest,
                             std::vector<SharedFile> files, std::vector<StoredTensor> tensors)
    : format_(format),
      manifest_(std::move(manifest)),
      files_(std::move(files)),
      tensors_(std::move(tensors)) {}

Result<std::unique_ptr<TensorStream>> StoredTensors::Open(TensorId id) const {
  const TensorInfo& info = manifest_.tensors[id.index];
  if (!info.data_present) return Fail(WhyAbsent(manifest_, id));
  const StoredTensor& tensor = tensors_[id.index];
  if (tensor.literal) return std::make_unique<LiteralStream>(*tensor.literal);
  return std::make_unique<RangesStream>(tensor, files_, info.name);
}

Status SortByName(Manifest& manifest, std::vector<StoredTensor>& tensors) {
  std::vector<std::uint32_t> order(tensors.size()), place(tensors.size());
  std::iota(order.begin(), order.end(), 0U);
  std::stable_sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return manifest.tensors[a].name < manifest.tensors[b].name;
  });
  std::vector<TensorInfo> infos;
  std::vector<StoredTensor> sorted;
  infos.reserve(order.size());
  sorted.reserve(order.size());
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    place[order[i]] = i;
    infos.push_back(std::move(manifest.tensors[order[i]]));
    sorted.push_back(std::move(tensors[order[i]]));
    if (i > 0 && infos[i].name == infos[i - 1].name) {
      return Fail(Error{ErrorCode::kCorrupt, "has two tensors of one name"}
                      .In(manifest.resolved)
                      .Of(infos[i].name));
    }
  }
  manifest.tensors = std::move(infos);
  tensors = std::move(sorted);
  for (Problem& problem : manifest.problems) {
    for (TensorId& id : problem.tensors) id = TensorId{place[id.index]};
    std::sort(problem.tensors.begin(), problem.tensors.end());
  }
  if (!manifest.graph) return {};
  for (Layer& layer : manifest.graph->layers) {
    for (auto& [name, id] : layer.tensors) id = TensorId{place[id.index]};
  }
  return {};
}

}  // namespace ckpt::formats
