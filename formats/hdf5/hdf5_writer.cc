#include "formats/hdf5/hdf5_writer.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <set>
#include <system_error>

#include "formats/container/early_write_back.h"
#include "formats/container/parted_checksum.h"
#include "formats/container/positioned_write.h"
#include "formats/hdf5/hdf5_element_type.h"
#include "formats/hdf5/hdf5_library.h"
#include "formats/hdf5/hdf5_output_driver.h"

namespace ckpt::formats {
namespace {

Error Unwritable(std::string_view doing) { return Hdf5Error(ErrorCode::kIo, doing); }

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](char c) { return static_cast<unsigned char>(c) < 0x80; });
}

// As h5py: names are marked as UTF-8 where they are not ASCII.
void SetNameCharset(hid_t properties, std::string_view name) {
  H5Pset_char_encoding(properties, IsAscii(name) ? H5T_CSET_ASCII : H5T_CSET_UTF8);
}

Status CheckPath(const std::string& path) {
  const auto unfit = [&](const char* why) {
    return Fail(
        Error{ErrorCode::kUnsupported, std::string("HDF5 cannot hold a name ") + why}.Of(path));
  };
  if (path.size() < 2 || path.front() != '/') return unfit("that is not an absolute path");
  if (path.find('\0') != std::string::npos) return unfit("with a NUL in it");
  for (std::size_t start = 1; start <= path.size();) {
    const std::size_t end = std::min(path.find('/', start), path.size());
    const std::string_view part = std::string_view(path).substr(start, end - start);
    if (part.empty()) return unfit("with an empty part");
    if (part == ".") return unfit("with \".\" as a part");
    start = end + 1;
  }
  return {};
}

Error Taken(const std::string& path) {
  return Error{ErrorCode::kUnsupported,
               "HDF5 cannot hold two objects of one name, nor a tensor below another"}
      .Of(path);
}

Hdf5Id StringType(std::size_t size, H5T_str_t padding, Hdf5Writer::Charset charset) {
  Hdf5Id type(H5Tcopy(H5T_C_S1), H5Tclose);
  H5Tset_size(type.get(), size);
  H5Tset_strpad(type.get(), padding);
  H5Tset_cset(type.get(), charset == Hdf5Writer::Charset::kUtf8 ? H5T_CSET_UTF8 : H5T_CSET_ASCII);
  return type;
}

Status WriteAttribute(hid_t file, const std::string& object, const std::string& name, hid_t type,
                      hid_t space, const void* value) {
  const Hdf5Id owner(H5Oopen(file, object.c_str(), H5P_DEFAULT), H5Oclose);
  const Hdf5Id properties(H5Pcreate(H5P_ATTRIBUTE_CREATE), H5Pclose);
  SetNameCharset(properties.get(), name);
  const std::string doing =
      "writing the attribute " + Hdf5Quoted(name) + " of " + Hdf5Quoted(object);
  const Hdf5Id attribute(
      H5Acreate2(owner.get(), name.c_str(), type, space, properties.get(), H5P_DEFAULT), H5Aclose);
  if (!attribute.ok()) return Fail(Unwritable(doing));
  if (value != nullptr && H5Awrite(attribute.get(), type, value) < 0)
    return Fail(Unwritable(doing));
  return {};
}

Hdf5Id VectorSpace(hsize_t count) { return {H5Screate_simple(1, &count, nullptr), H5Sclose}; }

// A contiguous dataset that has its place in the file at once and is not filled.
Hdf5Id DatasetProperties() {
  Hdf5Id properties(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
  H5Pset_layout(properties.get(), H5D_CONTIGUOUS);
  H5Pset_alloc_time(properties.get(), H5D_ALLOC_TIME_EARLY);
  H5Pset_fill_time(properties.get(), H5D_FILL_TIME_NEVER);
  H5Pset_obj_track_times(properties.get(), false);
  return properties;
}

Hdf5Id ShapeSpace(const Shape& shape) {
  if (shape.rank() == 0) return {H5Screate(H5S_SCALAR), H5Sclose};
  const std::vector<hsize_t> dims(shape.dims().begin(), shape.dims().end());
  return {H5Screate_simple(static_cast<int>(dims.size()), dims.data(), nullptr), H5Sclose};
}

std::size_t Longest(std::span<const std::string> texts) {
  std::size_t longest = 1;
  for (const std::string& text : texts) longest = std::max(longest, text.size());
  return longest;
}

}  // namespace

struct Hdf5Writer::State {
  Hdf5Id file = {};
  Hdf5Place place = {};  // of it, where the bytes of datasets are written past the library
  PartedChecksum* checksum = nullptr;
  std::set<std::string> groups = {"/"}, datasets = {};
  std::string dataset = {};  // created last, and where its bytes go
  std::uint64_t offset = 0, bytes_left = 0;
  EarlyWriteBack write_back = {};

  State() = default;
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    const Hdf5Lock lock;
    file.Close();
    if (place.descriptor >= 0) ::close(place.descriptor);
  }

  Status CreateOneGroup(const std::string& path);
  Status CreateGroupsAbove(const std::string& path);
  Status PlaceDataset(const std::string& path, hid_t type, const Shape& shape);
};

Hdf5Writer::Hdf5Writer(std::unique_ptr<State> state) : state_(std::move(state)) {}
Hdf5Writer::~Hdf5Writer() = default;

Status Hdf5CanHold(Dtype dtype, const Shape& shape) {
  const Hdf5Lock lock;
  if (!StoredType(dtype).ok()) {
    return Fail(ErrorCode::kUnsupported,
                "HDF5 as Keras writes it has no type for " + std::string(Name(dtype)));
  }
  if (shape.rank() > H5S_MAX_RANK) {
    return Fail(ErrorCode::kUnsupported, "HDF5 holds at most " + std::to_string(H5S_MAX_RANK) +
                                             " dimensions, not " + std::to_string(shape.rank()));
  }
  return {};
}

Result<std::unique_ptr<Hdf5Writer>> Hdf5Writer::Create(const std::filesystem::path& path) {
  return CreateIn(::open(path.c_str(), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666), nullptr);
}

Result<std::unique_ptr<Hdf5Writer>> Hdf5Writer::CreateWithin(const std::filesystem::path& path,
                                                             PartedChecksum& checksum) {
  return CreateIn(::open(path.c_str(), O_RDWR | O_CLOEXEC), &checksum);
}

Result<std::unique_ptr<Hdf5Writer>> Hdf5Writer::CreateIn(int descriptor, PartedChecksum* checksum) {
  const off_t end = descriptor < 0 ? -1 : ::lseek(descriptor, 0, SEEK_END);
  const int failed = errno;
  auto state = std::make_unique<State>();
  state->place.descriptor = descriptor;
  state->checksum = checksum;
  if (end < 0) {
    return Fail(ErrorCode::kIo,
                "cannot open the file to write: " + std::generic_category().message(failed));
  }
  state->place.offset = static_cast<std::uint64_t>(end);
  {
    const Hdf5Lock lock;
    const Hdf5Id creation(H5Pcreate(H5P_FILE_CREATE), H5Pclose);
    H5Pset_obj_track_times(creation.get(), false);
    state->file = CreateWithDriver(state->place, creation.get());
    if (!state->file.ok()) return Fail(Unwritable("creating the HDF5 file"));
  }
  return std::unique_ptr<Hdf5Writer>(new Hdf5Writer(std::move(state)));
}

Status Hdf5Writer::State::CreateOneGroup(const std::string& path) {
  if (datasets.contains(path)) return Fail(Taken(path));
  if (!groups.insert(path).second) return {};
  const Hdf5Id link(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  const Hdf5Id creation(H5Pcreate(H5P_GROUP_CREATE), H5Pclose);
  SetNameCharset(link.get(), path);
  H5Pset_obj_track_times(creation.get(), false);
  const Hdf5Id group(H5Gcreate2(file.get(), path.c_str(), link.get(), creation.get(), H5P_DEFAULT),
                     H5Gclose);
  if (!group.ok()) return Fail(Unwritable("creating the group " + Hdf5Quoted(path)));
  return {};
}

Status Hdf5Writer::State::CreateGroupsAbove(const std::string& path) {
  for (std::size_t at = path.find('/', 1); at != std::string::npos; at = path.find('/', at + 1)) {
    CKPT_RETURN_IF_ERROR(CreateOneGroup(path.substr(0, at)));
  }
  return {};
}

Status Hdf5Writer::CreateGroup(const std::string& path) {
  if (path == "/") return {};
  CKPT_RETURN_IF_ERROR(CheckPath(path));
  const Hdf5Lock lock;
  CKPT_RETURN_IF_ERROR(state_->CreateGroupsAbove(path));
  return state_->CreateOneGroup(path);
}

Status Hdf5Writer::SetText(const std::string& object, const std::string& name,
                           std::string_view text, Charset charset) {
  const std::string terminated(text);
  if (text.find('\0') != std::string_view::npos) {
    return Fail(ErrorCode::kUnsupported, "the attribute " + Hdf5Quoted(name) + " of " +
                                             Hdf5Quoted(object) + " has a NUL in its text");
  }
  const Hdf5Lock lock;
  const Hdf5Id type = StringType(H5T_VARIABLE, H5T_STR_NULLTERM, charset);
  const Hdf5Id space(H5Screate(H5S_SCALAR), H5Sclose);
  const char* pointer = terminated.c_str();
  return WriteAttribute(state_->file.get(), object, name, type.get(), space.get(), &pointer);
}

Status Hdf5Writer::SetTexts(const std::string& object, const std::string& name,
                            std::span<const std::string> texts, StringKind kind, Charset charset) {
  constexpr std::size_t kVariableSize = 16;  // in the file: a length and a place in the heap
  const std::size_t longest = Longest(texts);
  const std::size_t size = kind == StringKind::kFixed ? longest : kVariableSize;
  if (texts.size() > kHdf5AttributeBytes / size) {
    return Fail(ErrorCode::kUnsupported, "the attribute " + Hdf5Quoted(name) + " of " +
                                             Hdf5Quoted(object) + " would exceed " +
                                             std::to_string(kHdf5AttributeBytes) + " bytes");
  }
  const Hdf5Lock lock;
  const Hdf5Id space = VectorSpace(texts.size());
  if (texts.empty()) {
    return WriteAttribute(state_->file.get(), object, name, H5T_IEEE_F64LE, space.get(), nullptr);
  }
  if (kind == StringKind::kVariable) {
    const Hdf5Id type = StringType(H5T_VARIABLE, H5T_STR_NULLTERM, charset);
    std::vector<const char*> pointers;
    for (const std::string& text : texts) pointers.push_back(text.c_str());
    return WriteAttribute(state_->file.get(), object, name, type.get(), space.get(),
                          pointers.data());
  }
  const Hdf5Id type = StringType(longest, H5T_STR_NULLPAD, charset);
  std::string padded;
  for (const std::string& text : texts) (padded += text).append(longest - text.size(), '\0');
  return WriteAttribute(state_->file.get(), object, name, type.get(), space.get(), padded.data());
}

Status Hdf5Writer::State::PlaceDataset(const std::string& path, hid_t type, const Shape& shape) {
  if (groups.contains(path) || !datasets.insert(path).second) return Fail(Taken(path));
  const Hdf5Id link(H5Pcreate(H5P_LINK_CREATE), H5Pclose);
  SetNameCharset(link.get(), path);
  const Hdf5Id space = ShapeSpace(shape);
  const Hdf5Id properties = DatasetProperties();
  const Hdf5Id created(H5Dcreate2(file.get(), path.c_str(), type, space.get(), link.get(),
                                  properties.get(), H5P_DEFAULT),
                       H5Dclose);
  if (!created.ok()) {
    Error error = Unwritable("creating the dataset");
    error.tensor = path;
    return Fail(std::move(error));
  }
  dataset = path;
  bytes_left = H5Tget_size(type) * shape.element_count();
  offset = bytes_left == 0 ? 0 : place.offset + H5Dget_offset(created.get());
  return {};
}

Status Hdf5Writer::CreateDataset(const std::string& path, Dtype dtype, const Shape& shape) {
  if (state_->bytes_left != 0) {
    return Fail(ErrorCode::kInternal, "the dataset " + Hdf5Quoted(state_->dataset) + " lacks " +
                                          std::to_string(state_->bytes_left) + " bytes");
  }
  CKPT_RETURN_IF_ERROR(CheckPath(path));
  CKPT_RETURN_IF_ERROR(Hdf5CanHold(dtype, shape));
  {
    const Hdf5Lock lock;
    CKPT_RETURN_IF_ERROR(state_->CreateGroupsAbove(path));
    CKPT_RETURN_IF_ERROR(state_->PlaceDataset(path, StoredType(dtype).get(), shape));
  }
  return dtype == Dtype::kBF16 ? SetText(path, "dtype", Name(dtype), Charset::kUtf8) : Status();
}

Status Hdf5Writer::Append(std::span<const std::byte> bytes) {
  if (bytes.size() > state_->bytes_left) {
    return Fail(ErrorCode::kInternal,
                "more bytes than the dataset " + Hdf5Quoted(state_->dataset) + " has");
  }
  const int descriptor = state_->place.descriptor;
  if (state_->checksum != nullptr) state_->checksum->Add(state_->offset, bytes);
  const int failed = WriteAllAt(descriptor, bytes, state_->offset);
  if (failed != 0) {
    return Fail(
        Error{ErrorCode::kIo, "cannot write: " + std::generic_category().message(failed)}.Of(
            state_->dataset));
  }
  state_->offset += bytes.size();
  state_->bytes_left -= bytes.size();
  state_->write_back.WrittenTo(descriptor, state_->offset);
  return {};
}

Status Hdf5Writer::Close() {
  if (state_->bytes_left != 0) {
    return Fail(ErrorCode::kInternal, "the dataset " + Hdf5Quoted(state_->dataset) + " lacks " +
                                          std::to_string(state_->bytes_left) + " bytes");
  }
  const Hdf5Lock lock;
  if (!state_->file.Close()) return Fail(Unwritable("finishing the HDF5 file"));
  if (::close(std::exchange(state_->place.descriptor, -1)) != 0) {
    return Fail(ErrorCode::kIo, "cannot close: " + std::generic_category().message(errno));
  }
  return {};
}

}  // namespace ckpt::formats
