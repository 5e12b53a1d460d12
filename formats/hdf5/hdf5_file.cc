#include "formats/hdf5/hdf5_file.h"

#include <algorithm>

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
  std::vector<Hdf5Object> objects;
};

Hdf5File::Hdf5File(std::shared_ptr<State> state) : state_(std::move(state)) {}
Hdf5File::~Hdf5File() = default;

Result<std::unique_ptr<Hdf5File>> Hdf5File::Open(std::shared_ptr<const RandomAccessFile> file,
                                                 const Limits&) {
  return Fail(Error{ErrorCode::kUnsupported, "HDF5 is not read yet", file->path(), {}, {}});
}

const RandomAccessFile& Hdf5File::file() const noexcept { return *state_->file; }
std::span<const Hdf5Object> Hdf5File::objects() const noexcept { return state_->objects; }

const Hdf5Object* Hdf5File::Find(std::string_view path) const noexcept {
  const auto found = std::lower_bound(
      state_->objects.begin(), state_->objects.end(), path,
      [](const Hdf5Object& object, std::string_view key) { return object.path < key; });
  return found != state_->objects.end() && found->path == path ? &*found : nullptr;
}

Result<std::unique_ptr<TensorStream>> Hdf5File::OpenDataset(const Hdf5Object& dataset) const {
  return Fail(Error{
      ErrorCode::kUnsupported, "HDF5 is not read yet", state_->file->path(), {}, dataset.path});
}

}  // namespace ckpt::formats
