#include "formats/tf_bundle/tf_bundle.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <set>
#include <utility>

#include "ckpt/serving_network.h"
#include "formats/container/git_lfs.h"
#include "formats/tf_bundle/bundle_index.h"
#include "formats/tf_bundle/data_shards.h"
#include "formats/tf_bundle/first_value.h"
#include "formats/tf_bundle/object_graph.h"
#include "formats/tf_bundle/object_names.h"
#include "formats/tf_bundle/tensor_streams.h"
#include "formats/tf_graph/meta_graph_beside.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kIndexFile = ".index";

std::string PrefixOf(const std::filesystem::path& path) {
  std::string prefix = path.string();
  if (prefix.ends_with(kIndexFile)) prefix.resize(prefix.size() - kIndexFile.size());
  return prefix;
}

class TfBundle : public Checkpoint {
 public:
  TfBundle(const Files& files, std::string prefix, BundleIndex index, const Limits& limits)
      : index_(std::move(index)),
        shards_(files, prefix, index_.num_shards, NeededShards(index_)),
        lengths_budget_(limits.metadata_bytes) {
    manifest_.resolved = std::move(prefix);
    manifest_.framework = Framework::kTensorFlow;
    manifest_.files = shards_.Present();
    manifest_.files.insert(manifest_.files.begin(), manifest_.resolved + std::string(kIndexFile));
    Describe(limits);
    SortByName();
    AttachMetaGraph(files, manifest_.resolved, limits, manifest_);
  }

  std::string_view format() const noexcept override { return "tf-bundle"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override;
  Result<network::Network> MakeNetwork() const override { return NetworkOverSource(*this, {}); }

 private:
  static std::set<std::uint32_t> NeededShards(const BundleIndex& index);
  void Describe(const Limits& limits);
  TensorInfo Describe(const BundleTensor& tensor) const;
  void CheckShards(std::uint32_t tensor);
  void CheckRange(std::uint32_t tensor, const ShardRange& range);
  Error ShortShard(std::uint32_t shard, std::uint64_t size) const;
  void MeasureStrings(std::uint32_t tensor);
  void ReadObjectGraph(const Limits& limits);
  void AddProblem(Error error, std::uint32_t tensor);
  void SortByName();

  StreamSource Source(std::uint32_t tensor) const {
    return {manifest_.tensors[tensor].name, index_.tensors[tensor].dtype, index_.big_endian};
  }
  Result<std::unique_ptr<TensorStream>> Open(const BundleTensor& tensor, StreamSource source) const;

  BundleIndex index_;  // its tensors are in the order of the manifest's
  DataShards shards_;
  Manifest manifest_;
  std::uint64_t lengths_budget_;  // bytes of strings' lengths that opening may read
  std::map<std::uint32_t, std::size_t> problem_of_shard_;
};

std::set<std::uint32_t> TfBundle::NeededShards(const BundleIndex& index) {
  std::set<std::uint32_t> shards;
  for (const BundleTensor& tensor : index.tensors) {
    if (tensor.slices.empty()) shards.insert(tensor.range.shard);
    for (const BundleSlice& slice : tensor.slices) shards.insert(slice.range.shard);
  }
  return shards;
}

void TfBundle::Describe(const Limits& limits) {
  manifest_.tensors.reserve(index_.tensors.size());
  for (const BundleTensor& tensor : index_.tensors) manifest_.tensors.push_back(Describe(tensor));
  NameByKeys(manifest_.tensors);
  for (std::uint32_t i = 0; i < index_.tensors.size(); ++i) {
    CheckShards(i);
    if (index_.tensors[i].dtype->dtype == Dtype::kString) MeasureStrings(i);
  }
  ReadObjectGraph(limits);
}

TensorInfo TfBundle::Describe(const BundleTensor& tensor) const {
  TensorInfo info;
  info.stored_as = tensor.key;
  info.dtype = tensor.dtype->dtype;
  info.shape = tensor.shape;
  info.byte_size = tensor.range.size;
  const std::uint64_t count = tensor.shape.element_count();
  if (tensor.dtype->packed()) {
    info.byte_size = count / 2 + count % 2;
  } else if (tensor.dtype->stored_bytes > 0) {
    info.byte_size = count * tensor.dtype->stored_bytes;
  }
  const ShardRange& first = tensor.slices.empty() ? tensor.range : tensor.slices.front().range;
  info.data_file = shards_.Path(first.shard);
  if (tensor.slices.empty() && tensor.dtype->stored_bytes > 0 && !index_.big_endian) {
    info.checksum = StoredChecksum{ChecksumKind::kCrc32c, tensor.range.crc32c};
  }
  return info;
}

void TfBundle::CheckShards(std::uint32_t tensor) {
  const BundleTensor& stored = index_.tensors[tensor];
  if (stored.slices.empty()) CheckRange(tensor, stored.range);
  for (const BundleSlice& slice : stored.slices) CheckRange(tensor, slice.range);
}

void TfBundle::CheckRange(std::uint32_t tensor, const ShardRange& range) {
  const auto size = shards_.Size(range.shard);
  if (size && range.offset + range.size <= *size) return;
  manifest_.tensors[tensor].data_present = false;
  const auto known = problem_of_shard_.find(range.shard);
  if (known != problem_of_shard_.end()) {
    auto& tensors = manifest_.problems[known->second].tensors;
    if (tensors.back().index != tensor) tensors.push_back(TensorId{tensor});
    return;
  }
  problem_of_shard_.emplace(range.shard, manifest_.problems.size());
  AddProblem(size ? ShortShard(range.shard, *size) : size.error(), tensor);
}

Error TfBundle::ShortShard(std::uint32_t shard, std::uint64_t size) const {
  std::uint64_t end = 0;
  const auto extend = [&](const ShardRange& range) {
    if (range.shard == shard) end = std::max(end, range.offset + range.size);
  };
  for (const BundleTensor& tensor : index_.tensors) {
    if (tensor.slices.empty()) extend(tensor.range);
    for (const BundleSlice& slice : tensor.slices) extend(slice.range);
  }
  if (const auto file = shards_.Open(shard)) {
    if (auto pointer = GitLfsPointer(**file)) return *std::move(pointer);
  }
  return Error{ErrorCode::kCorrupt, "ends at byte " + std::to_string(size) +
                                        ", where the index has tensors up to byte " +
                                        std::to_string(end) +
                                        ": cut short, or of another save than the index"}
      .In(shards_.Path(shard))
      .At(size);
}

// Only the lengths tell how many bytes a stream of strings has.
void TfBundle::MeasureStrings(std::uint32_t tensor) {
  const BundleTensor& stored = index_.tensors[tensor];
  TensorInfo& info = manifest_.tensors[tensor];
  if (!info.data_present || !stored.slices.empty()) return;
  const std::uint64_t count = stored.shape.element_count();
  if (count > lengths_budget_) {
    AddProblem(Error{ErrorCode::kLimitExceeded,
                     "has " + std::to_string(count) + " strings, more than are listed",
                     info.data_file, stored.range.offset, info.name},
               tensor);
    info.data_present = false;
    return;
  }
  lengths_budget_ -= count;
  auto file = shards_.Open(stored.range.shard);
  const auto size = file ? StringStreamSize(Source(tensor), *std::move(file), stored.range, count)
                         : Result<std::uint64_t>(Fail(file));
  if (size) {
    info.byte_size = *size;
  } else {
    AddProblem(size.error(), tensor);
    manifest_.problems.back().error.tensor = info.name;
  }
}

void TfBundle::ReadObjectGraph(const Limits& limits) {
  const auto& tensors = index_.tensors;
  const auto found = std::lower_bound(
      tensors.begin(), tensors.end(), kObjectGraphKey,
      [](const BundleTensor& tensor, std::string_view key) { return tensor.key < key; });
  if (found == tensors.end() || found->key != kObjectGraphKey) return;
  const auto id = static_cast<std::uint32_t>(found - tensors.begin());
  const TensorInfo& info = manifest_.tensors[id];
  if (!info.data_present || info.dtype != Dtype::kString || info.shape != Shape()) return;
  const auto bytes = ReadBytes(*this, TensorId{id}, limits.metadata_bytes);
  if (!bytes) {
    const bool known = std::any_of(manifest_.problems.begin(), manifest_.problems.end(),
                                   [&](const Problem& p) { return p.tensors.front().index == id; });
    if (!known) AddProblem(bytes.error(), id);
    return;
  }
  const std::string_view text(reinterpret_cast<const char*>(bytes->data()), bytes->size());
  const auto graph = ParseObjectGraph(text.substr(sizeof(std::uint64_t)), limits);
  if (graph) {
    NameByObjects(*graph, manifest_.tensors);
  } else {
    AddProblem(Error{graph.error().code, graph.error().message, info.data_file, found->range.offset,
                     info.name},
               id);
  }
}

void TfBundle::AddProblem(Error error, std::uint32_t tensor) {
  manifest_.problems.push_back({std::move(error), {TensorId{tensor}}});
}

void TfBundle::SortByName() {
  const std::size_t count = manifest_.tensors.size();
  std::vector<std::uint32_t> order(count), place(count);
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
    return manifest_.tensors[a].name < manifest_.tensors[b].name;
  });
  for (std::uint32_t i = 0; i < count; ++i) place[order[i]] = i;
  const auto moved = [&](TensorId id) { return TensorId{place[id.index]}; };

  std::vector<TensorInfo> infos;
  std::vector<BundleTensor> tensors;
  infos.reserve(count);
  tensors.reserve(count);
  for (const std::uint32_t i : order) {
    infos.push_back(std::move(manifest_.tensors[i]));
    tensors.push_back(std::move(index_.tensors[i]));
    if (infos.back().slot_of) infos.back().slot_of = moved(*infos.back().slot_of);
  }
  manifest_.tensors = std::move(infos);
  index_.tensors = std::move(tensors);
  for (Problem& problem : manifest_.problems) {
    for (TensorId& id : problem.tensors) id = moved(id);
    std::sort(problem.tensors.begin(), problem.tensors.end());
  }
}

Result<std::unique_ptr<TensorStream>> TfBundle::Open(TensorId id) const {
  const TensorInfo& info = manifest_.tensors[id.index];
  for (const Problem& problem : manifest_.problems) {
    if (info.data_present) break;
    if (std::binary_search(problem.tensors.begin(), problem.tensors.end(), id)) {
      Error error = problem.error;
      error.tensor = info.name;
      return Fail(std::move(error));
    }
  }
  return Open(index_.tensors[id.index], Source(id.index));
}

Result<std::unique_ptr<TensorStream>> TfBundle::Open(const BundleTensor& tensor,
                                                     StreamSource source) const {
  const bool strings = tensor.dtype->dtype == Dtype::kString;
  if (tensor.dtype->stored_bytes == 0 && (!strings || !tensor.slices.empty())) {
    return Fail(Error{ErrorCode::kUnsupported,
                      strings ? "cannot be read: strings in slices"
                              : "cannot be read: TensorFlow alone knows what is in a " +
                                    std::string(Name(tensor.dtype->dtype))}
                    .In(manifest_.resolved + std::string(kIndexFile))
                    .Of(source.name));
  }
  if (!tensor.slices.empty()) {
    std::vector<SharedFile> files;
    for (const BundleSlice& slice : tensor.slices) {
      CKPT_ASSIGN_OR_RETURN(SharedFile file, shards_.Open(slice.range.shard));
      files.push_back(std::move(file));
    }
    return StreamSlices(std::move(source), tensor, std::move(files));
  }
  CKPT_ASSIGN_OR_RETURN(SharedFile file, shards_.Open(tensor.range.shard));
  if (!strings) return StreamWhole(std::move(source), std::move(file), tensor.range);
  return StreamStrings(std::move(source), std::move(file), tensor.range,
                       tensor.shape.element_count());
}

}  // namespace

// A V2 index begins with its first entry: the empty key and a header message, whose fields are 1, 2
// (numbers) and 3 (a message). A V1 checkpoint begins likewise with a message whose field 1 is one.
Match ProbeTfBundle(const ProbeInput& input) {
  const FirstValue first = FirstValueOfTable(input);
  if (!first.is_table) return Match::kNo;
  if (!first.byte) {
    return input.file_name.ends_with(kIndexFile) ? Match::kCertain : Match::kLikely;
  }
  constexpr std::uint8_t kShards = 0x08, kEndianness = 0x10, kVersion = 0x1a;
  const std::uint8_t field = *first.byte;
  return field == kShards || field == kEndianness || field == kVersion ? Match::kCertain
                                                                       : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenTfBundle(const Files& files,
                                                 const std::filesystem::path& path,
                                                 const Limits& limits) {
  std::string prefix = PrefixOf(path);
  CKPT_ASSIGN_OR_RETURN(const auto file, files.Open(prefix + std::string(kIndexFile)));
  if (auto pointer = GitLfsPointer(*file)) return Fail(*std::move(pointer));
  CKPT_ASSIGN_OR_RETURN(BundleIndex index, ReadBundleIndex(*file, limits));
  return std::unique_ptr<Checkpoint>(
      std::make_unique<TfBundle>(files, std::move(prefix), std::move(index), limits));
}

}  // namespace ckpt::formats
