#include "formats/tf_v1/tf_v1.h"

#include <algorithm>
#include <map>
#include <utility>

#include "ckpt/serving_network.h"
#include "formats/container/git_lfs.h"
#include "formats/tf_bundle/first_value.h"
#include "formats/tf_bundle/slice_cover.h"
#include "formats/tf_bundle/tensor_streams.h"
#include "formats/tf_graph/meta_graph_beside.h"
#include "formats/tf_v1/saved_slices.h"
#include "formats/tf_v1/shard_names.h"
#include "formats/tf_v1/slice_elements.h"
#include "formats/tf_v1/slice_strings.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;

constexpr std::uint8_t kMetaField = 0x0a;  // field 1, a message

// A tensor out of the slices of all files. BundleTensor and its slices say where each slice lies in
// the whole; `shard` of a slice's range is the index of its file, `size` its decoded bytes.
struct JoinedTensor {
  BundleTensor whole;
  std::vector<SavedTensorProto> data;  // as whole.slices
  std::uint64_t string_bytes = 0;
};

class TfV1 : public Checkpoint {
 public:
  TfV1(const Files& files, fs::path folder, std::vector<std::string> names, const Limits& limits)
      : files_(files), folder_(std::move(folder)), names_(std::move(names)), limits_(limits) {}

  Status Read();
  void Describe(std::string resolved, std::vector<std::string> absent);

  std::string_view format() const noexcept override { return "tf-v1"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override;
  Result<network::Network> MakeNetwork() const override { return NetworkOverSource(*this, {}); }

 private:
  std::string PathOf(std::size_t file) const { return (folder_ / names_[file]).string(); }
  Result<SharedFile> OpenFile(std::size_t file) const;
  Status Join(std::size_t file, SavedTensor saved);
  TensorInfo InfoOf(const JoinedTensor& tensor) const;

  const Files& files_;
  fs::path folder_;
  std::vector<std::string> names_;  // of the files that are there
  Limits limits_;
  std::map<std::string, JoinedTensor> by_name_;  // until Describe
  std::vector<JoinedTensor> tensors_;            // as the manifest's
  Manifest manifest_;
};

Result<SharedFile> TfV1::OpenFile(std::size_t file) const {
  // The user named the first one; the names of the others follow from its.
  CKPT_ASSIGN_OR_RETURN(auto opened, names_.size() == 1
                                         ? files_.Open(folder_ / names_[file])
                                         : files_.OpenBeneath(folder_, names_[file]));
  return SharedFile(std::move(opened));
}

Status TfV1::Read() {
  for (std::size_t i = 0; i < names_.size(); ++i) {
    CKPT_ASSIGN_OR_RETURN(const SharedFile file, OpenFile(i));
    if (auto pointer = GitLfsPointer(*file)) return Fail(*std::move(pointer));
    CKPT_ASSIGN_OR_RETURN(auto saved, ReadSavedSlices(*file, limits_));
    for (SavedTensor& tensor : saved) CKPT_RETURN_IF_ERROR(Join(i, std::move(tensor)));
  }
  return {};
}

Status TfV1::Join(std::size_t file, SavedTensor saved) {
  const auto [found, is_new] = by_name_.try_emplace(saved.name);
  JoinedTensor& joined = found->second;
  if (is_new) {
    joined.whole.key = saved.name;
    joined.whole.dtype = saved.dtype;
    joined.whole.shape = saved.shape;
  } else if (joined.whole.dtype != saved.dtype || joined.whole.shape != saved.shape) {
    return Fail(
        Error{ErrorCode::kCorrupt, "is " + ToString(saved.shape) + " of " +
                                       std::string(Name(saved.dtype->dtype)) + " here and " +
                                       ToString(joined.whole.shape) + " of " +
                                       std::string(Name(joined.whole.dtype->dtype)) + " before"}
            .In(PathOf(file))
            .Of(saved.name));
  }
  for (SavedSlice& slice : saved.slices) {
    ShardRange range;
    range.shard = static_cast<std::uint32_t>(file);
    range.size = slice.shape.element_count() * saved.dtype->stored_bytes;
    joined.whole.slices.push_back({std::move(slice.start), std::move(slice.shape), range});
    joined.data.push_back(slice.data);
    joined.string_bytes += slice.string_bytes;
  }
  return {};
}

TensorInfo TfV1::InfoOf(const JoinedTensor& tensor) const {
  TensorInfo info;
  info.name = info.stored_as = tensor.whole.key;
  info.dtype = tensor.whole.dtype->dtype;
  info.shape = tensor.whole.shape;
  info.byte_size = info.dtype == Dtype::kString
                       ? tensor.string_bytes
                       : info.shape.element_count() * tensor.whole.dtype->stored_bytes;
  info.data_file = PathOf(tensor.whole.slices.front().range.shard);
  return info;
}

void TfV1::Describe(std::string resolved, std::vector<std::string> absent) {
  manifest_.resolved = std::move(resolved);
  manifest_.framework = Framework::kTensorFlow;
  for (std::size_t i = 0; i < names_.size(); ++i) manifest_.files.push_back(PathOf(i));
  std::vector<TensorId> in_absent;
  for (auto& [name, tensor] : by_name_) {
    const TensorId id{static_cast<std::uint32_t>(tensors_.size())};
    TensorInfo info = InfoOf(tensor);
    const Status covered = CheckCover(tensor.whole.shape, tensor.whole.slices);
    if (!covered) {
      info.data_present = false;
      if (absent.empty()) {
        manifest_.problems.push_back(
            {Error{covered.error().code, covered.error().message}.In(info.data_file).Of(name),
             {id}});
      } else {
        in_absent.push_back(id);
      }
    }
    manifest_.tensors.push_back(std::move(info));
    tensors_.push_back(std::move(tensor));
  }
  by_name_.clear();
  const auto shard = ParseV1ShardName(manifest_.resolved);
  AttachMetaGraph(files_, shard ? shard->prefix : manifest_.resolved, limits_, manifest_);
  if (absent.empty()) return;
  std::string names = absent.front();
  if (absent.size() > 1) names += " and " + std::to_string(absent.size() - 1) + " more";
  manifest_.problems.push_back(
      {Error{ErrorCode::kNotFound, "is absent, one of the files of the checkpoint (" + names +
                                       "); nothing tells which tensors are in it"}
           .In((folder_ / absent.front()).string()),
       std::move(in_absent)});
}

Result<std::unique_ptr<TensorStream>> TfV1::Open(TensorId id) const {
  const TensorInfo& info = manifest_.tensors[id.index];
  if (!info.data_present) return Fail(WhyAbsent(manifest_, id));
  const JoinedTensor& tensor = tensors_[id.index];
  const auto& slices = tensor.whole.slices;
  const bool strings = info.dtype == Dtype::kString;
  if (strings && slices.size() > 1) {
    return Fail(Error{ErrorCode::kUnsupported, "cannot be read: strings in slices"}
                    .In(info.data_file)
                    .Of(info.name));
  }
  std::vector<std::unique_ptr<SliceElements>> elements;
  for (std::size_t i = 0; i < slices.size(); ++i) {
    CKPT_ASSIGN_OR_RETURN(SharedFile file, OpenFile(slices[i].range.shard));
    auto bytes = OpenTensorProto(std::move(file), tensor.data[i], limits_);
    if (!bytes) {
      Error error = bytes.error();
      error.tensor = info.name;
      return Fail(std::move(error));
    }
    if (strings) return StreamSavedStrings(info.name, *std::move(bytes));
    elements.push_back(
        DecodeTensorProto(*std::move(bytes), *tensor.whole.dtype, slices[i].shape.element_count()));
  }
  return StreamSlices({info.name, tensor.whole.dtype, false}, tensor.whole, std::move(elements));
}

// The files of the set that `path` is one of: those there, and those that are not.
struct FileSet {
  std::vector<std::string> present, absent;
  std::string resolved;
};

FileSet FilesOf(const Files& files, const fs::path& path) {
  const std::string name = path.filename().string();
  FileSet set{{name}, {}, path.string()};
  const auto shard = ParseV1ShardName(name);
  if (!shard || shard->count == 1) return set;
  const auto names = files.List(path.parent_path());
  if (!names) return set;
  std::map<std::uint64_t, std::string> found;
  for (const std::string& other : *names) {
    const auto parsed = ParseV1ShardName(other);
    if (parsed && parsed->prefix == shard->prefix && parsed->count == shard->count) {
      found.emplace(parsed->shard, other);
    }
  }
  set.present.clear();
  std::uint64_t next = 0;
  constexpr std::size_t kMostNamed = 1000;
  const auto miss_until = [&](std::uint64_t end) {
    for (; next < end && set.absent.size() < kMostNamed; ++next) {
      set.absent.push_back(V1ShardName(shard->prefix, next, shard->count));
    }
    next = end + 1;
  };
  for (const auto& [number, other] : found) {
    miss_until(number);
    set.present.push_back(other);
  }
  miss_until(shard->count);
  set.resolved = (path.parent_path() / V1ShardName(shard->prefix, 0, shard->count)).string();
  return set;
}

}  // namespace

Match ProbeTfV1(const ProbeInput& input) {
  const FirstValue first = FirstValueOfTable(input);
  if (!first.is_table) return Match::kNo;
  if (!first.byte) return input.file_name.ends_with(".index") ? Match::kNo : Match::kLikely;
  return *first.byte == kMetaField ? Match::kCertain : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenTfV1(const Files& files, const fs::path& path,
                                             const Limits& limits) {
  FileSet set = FilesOf(files, path);
  auto checkpoint =
      std::make_unique<TfV1>(files, path.parent_path(), std::move(set.present), limits);
  CKPT_RETURN_IF_ERROR(checkpoint->Read());
  checkpoint->Describe(std::move(set.resolved), std::move(set.absent));
  return std::unique_ptr<Checkpoint>(std::move(checkpoint));
}

}  // namespace ckpt::formats
