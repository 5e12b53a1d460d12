#include "formats/hdf5/hdf5_file.h"

#include <algorithm>
#include <array>

#include "formats/container/range_stream.h"
#include "formats/encoding/byte_reader.h"
#include "formats/hdf5/child_process.h"
#include "formats/hdf5/hdf5_library.h"
#include "formats/hdf5/hdf5_server.h"
#include "formats/hdf5/hdf5_streams.h"
#include "formats/hdf5/hdf5_wire.h"

namespace ckpt::formats {

const std::string* Hdf5Attribute::text() const noexcept {
  const auto* strings = std::get_if<std::vector<std::string>>(&value);
  return strings != nullptr && strings->size() == 1 ? &strings->front() : nullptr;
}

std::optional<std::vector<std::string>> Hdf5Attribute::texts() const {
  if (const auto* strings = std::get_if<std::vector<std::string>>(&value)) return *strings;
  if (!std::holds_alternative<std::monostate>(value) && shape.element_count() == 0) {
    return std::vector<std::string>{};
  }
  return std::nullopt;
}

const Hdf5Attribute* Hdf5Object::FindAttribute(std::string_view name) const noexcept {
  const auto found = std::lower_bound(
      attributes.begin(), attributes.end(), name,
      [](const Hdf5Attribute& attribute, std::string_view key) { return attribute.name < key; });
  return found != attributes.end() && found->name == name ? &*found : nullptr;
}

struct Hdf5File::State {
  std::shared_ptr<const RandomAccessFile> file;
  Limits limits;
  std::string note = {};
  std::vector<Hdf5Object> objects = {};
  std::vector<std::uint32_t> child_index = {};  // of objects: which dataset it is for the child
  std::shared_ptr<ChildProcess> child = {};     // null where all datasets are read without it
};

namespace {

// The library is told of no file that does not begin like one: at 0, or behind a user block of 512,
// 1024, 2048... bytes.
Result<bool> HasSignature(const RandomAccessFile& file) {
  constexpr std::array<unsigned char, 8> kSignature = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
  std::array<unsigned char, 8> found{};
  for (std::uint64_t at = 0; RangeFits(at, found.size(), file.size());
       at = at == 0 ? 512 : at * 2) {
    CKPT_RETURN_IF_ERROR(file.ReadAt(at, std::as_writable_bytes(std::span(found))));
    if (found == kSignature) return true;
  }
  return false;
}

Error InFile(Error error, const RandomAccessFile& file) {
  error.file = file.path();
  return error;
}

Result<std::shared_ptr<ChildProcess>> StartChild(const RandomAccessFile& file,
                                                 const Limits& limits) {
  const Hdf5Lock lock;
  auto child = ChildProcess::Start("the HDF5 library", file.descriptor(),
                                   {limits.hdf5_memory_bytes, limits.hdf5_seconds},
                                   Hdf5Server(file, limits));
  if (!child) return Fail(InFile(child.error(), file));
  return std::shared_ptr<ChildProcess>(*std::move(child));
}

Result<std::vector<Hdf5Object>> ReadListing(ChildProcess& child, const RandomAccessFile& file,
                                            const Limits& limits) {
  const auto answer =
      child.Ask(EncodeRequest({}), limits.index_bytes, {}, "reading the object tree");
  if (!answer) return Fail(InFile(answer.error(), file));
  CKPT_ASSIGN_OR_RETURN(const auto payload, DecodeAnswer(*answer, file.path()));
  return DecodeListing(payload, file, limits);
}

bool NeedsChild(const Hdf5Object& object) {
  return object.kind == Hdf5Object::Kind::kDataset && object.unsupported.empty() &&
         object.byte_size > 0 && !object.data_offset;
}

}  // namespace

Hdf5File::Hdf5File(std::shared_ptr<State> state) : state_(std::move(state)) {}
Hdf5File::~Hdf5File() = default;

Result<std::unique_ptr<Hdf5File>> Hdf5File::Open(std::shared_ptr<const RandomAccessFile> file,
                                                 const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const bool has_signature, HasSignature(*file));
  if (!has_signature) {
    return Fail(Error{ErrorCode::kCorrupt, "is not an HDF5 file"}.In(file->path()));
  }
  CKPT_ASSIGN_OR_RETURN(auto on_disk, file->OnDisk(0, file->size()));
  if (on_disk != nullptr) file = std::move(on_disk);
  auto state = std::make_shared<State>(State{.file = std::move(file), .limits = limits});
  CKPT_ASSIGN_OR_RETURN(state->child, StartChild(*state->file, limits));
  CKPT_ASSIGN_OR_RETURN(auto listing, ReadListing(*state->child, *state->file, limits));

  if (state->child->unfiltered()) {
    state->note =
        "the kernel takes no filter of system calls (seccomp): the process that reads HDF5 runs "
        "behind its other limits alone";
  }
  std::vector<std::pair<Hdf5Object, std::uint32_t>> sorted;
  std::uint32_t datasets = 0;
  for (Hdf5Object& object : listing) {
    const bool is_dataset = object.kind == Hdf5Object::Kind::kDataset;
    sorted.emplace_back(std::move(object), is_dataset ? datasets++ : 0);
  }
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.first.path < b.first.path; });
  for (auto& [object, index] : sorted) {
    if (!state->objects.empty() && state->objects.back().path == object.path) {
      return Fail(
          Error{ErrorCode::kCorrupt, "holds two objects of the name \"" + object.path + "\""}.In(
              state->file->path()));
    }
    state->objects.push_back(std::move(object));
    state->child_index.push_back(index);
  }
  if (std::none_of(state->objects.begin(), state->objects.end(), NeedsChild)) state->child.reset();
  return std::unique_ptr<Hdf5File>(new Hdf5File(std::move(state)));
}

const RandomAccessFile& Hdf5File::file() const noexcept { return *state_->file; }
const std::string& Hdf5File::note() const noexcept { return state_->note; }
std::span<const Hdf5Object> Hdf5File::objects() const noexcept { return state_->objects; }

const Hdf5Object* Hdf5File::Find(std::string_view path) const noexcept {
  const auto found = std::lower_bound(
      state_->objects.begin(), state_->objects.end(), path,
      [](const Hdf5Object& object, std::string_view key) { return object.path < key; });
  return found != state_->objects.end() && found->path == path ? &*found : nullptr;
}

Result<std::unique_ptr<TensorStream>> Hdf5File::OpenDataset(const Hdf5Object& dataset) const {
  const auto fail = [&](ErrorCode code, std::string message) {
    return Fail(Error{code, std::move(message)}.In(state_->file->path()).Of(dataset.path));
  };
  if (dataset.kind != Hdf5Object::Kind::kDataset) {
    return fail(ErrorCode::kInvalidArgument, "is a group, not a dataset");
  }
  if (!dataset.unsupported.empty()) return fail(ErrorCode::kUnsupported, dataset.unsupported);
  if (dataset.data_offset || dataset.byte_size == 0) {
    return StreamRange(state_->file, dataset.data_offset.value_or(0), dataset.byte_size,
                       dataset.path);
  }
  const auto index = static_cast<std::size_t>(&dataset - state_->objects.data());
  return DecodedStream(state_->file, state_->child, state_->child_index[index], dataset,
                       state_->limits.metadata_bytes);
}

}  // namespace ckpt::formats
