#include "formats/hdf5/hdf5_dataset.h"

#include "formats/container/range_stream.h"
#include "formats/encoding/byte_reader.h"
#include "formats/hdf5/hdf5_bounds.h"

namespace ckpt::formats {
namespace {

std::string_view FilterName(H5Z_filter_t filter) {
  switch (filter) {
    case H5Z_FILTER_SZIP:
      return " (szip)";
    case H5Z_FILTER_NBIT:
      return " (nbit)";
    case H5Z_FILTER_SCALEOFFSET:
      return " (scale-offset)";
    case 307:
      return " (bzip2)";
    case 32000:
      return " (lzf)";
    case 32001:
      return " (blosc)";
    case 32004:
      return " (lz4)";
    case 32008:
      return " (bitshuffle)";
    case 32015:
      return " (zstd)";
    case 32026:
      return " (blosc2)";
    default:
      return "";
  }
}

bool IsReadable(H5Z_filter_t filter) {
  return filter == H5Z_FILTER_DEFLATE || filter == H5Z_FILTER_SHUFFLE ||
         filter == H5Z_FILTER_FLETCHER32;
}

// Empty where all filters are those that every HDF5 library has.
Result<std::string> UnreadableFilter(hid_t creation, const std::string& path) {
  const int count = H5Pget_nfilters(creation);
  if (count < 0) return Fail(DatasetFailed("reading the filters", path));
  for (unsigned i = 0; i < static_cast<unsigned>(count); ++i) {
    unsigned flags = 0;
    std::size_t no_values = 0;
    const H5Z_filter_t filter =
        H5Pget_filter2(creation, i, &flags, &no_values, nullptr, 0, nullptr, nullptr);
    if (filter < 0) return Fail(DatasetFailed("reading the filters", path));
    if (!IsReadable(filter)) {
      return "needs the HDF5 filter " + std::to_string(filter) + std::string(FilterName(filter));
    }
  }
  return std::string();
}

Status RefuseForeignStorage(hid_t creation, const std::string& path) {
  const int external = H5Pget_external_count(creation);
  const H5D_layout_t layout = H5Pget_layout(creation);
  if (external < 0 || layout < 0) return Fail(DatasetFailed("reading the storage layout", path));
  if (external > 0) {
    return Fail(DatasetError(
        ErrorCode::kUnsafe,
        "keeps its elements in other files (external storage), which is refused", path));
  }
  if (layout == H5D_VIRTUAL) {
    return Fail(DatasetError(ErrorCode::kUnsafe,
                             "is a virtual dataset, made of parts of other files, which is refused",
                             path));
  }
  return {};
}

// A dataset may declare any size and store nothing: all its elements are the fill value then.
Status RefuseShapeBomb(std::uint64_t declared, const Hdf5Object& object) {
  std::uint64_t plausible = 0;
  if (declared <= kHdf5FillBytes || !CheckedMul(object.stored_bytes, kHdf5MaxGain, &plausible) ||
      declared <= plausible) {
    return {};
  }
  return Fail(DatasetError(
      ErrorCode::kUnsafe,
      "declares " + std::to_string(declared) + " bytes of elements but stores " +
          std::to_string(object.stored_bytes) + ": refused, for no compression gains that much",
      object.path));
}

std::string DtypeAttribute(const Hdf5Object& object) {
  const Hdf5Attribute* attribute = object.FindAttribute("dtype");
  const std::string* text = attribute == nullptr ? nullptr : attribute->text();
  return text == nullptr ? std::string() : *text;
}

// Where the bytes stand that a stream yields, if they do.
std::optional<std::uint64_t> DataOffset(hid_t dataset, hid_t creation,
                                        const Hdf5ElementType& element, const Hdf5Object& object) {
  if (!element.stored_as_read || H5Pget_layout(creation) != H5D_CONTIGUOUS ||
      H5Pget_nfilters(creation) != 0 || object.stored_bytes < object.byte_size ||
      object.byte_size == 0 || kStreamChunkBytes % element.stored_size != 0) {
    return std::nullopt;
  }
  const haddr_t offset = H5Dget_offset(dataset);
  return offset == HADDR_UNDEF ? std::nullopt : std::optional<std::uint64_t>(offset);
}

}  // namespace

Error DatasetError(ErrorCode code, std::string message, const std::string& path) {
  return Error{code, std::move(message)}.Of(path);
}

Error DatasetFailed(std::string_view doing, const std::string& path) {
  Error error = Hdf5Error(ErrorCode::kCorrupt, doing);
  error.tensor = path;
  return error;
}

Hdf5ElementType ElementsOf(hid_t dataset, const Hdf5Object& object) {
  const Hdf5Id type(H5Dget_type(dataset), H5Tclose);
  return ClassifyElements(type.get(), DtypeAttribute(object));
}

Status DescribeDataset(hid_t dataset, std::uint64_t file_size, Hdf5Object& object) {
  const Hdf5Id creation(H5Dget_create_plist(dataset), H5Pclose);
  const Hdf5Id space(H5Dget_space(dataset), H5Sclose);
  if (!creation.ok() || !space.ok()) {
    return Fail(DatasetFailed("reading type and shape", object.path));
  }
  CKPT_RETURN_IF_ERROR(RefuseForeignStorage(creation.get(), object.path));
  if (H5Sget_simple_extent_type(space.get()) == H5S_NULL) {
    object.unsupported = "has a null dataspace: it holds no value";
    return {};
  }
  CKPT_ASSIGN_OR_RETURN(object.shape, Hdf5Shape(space.get(), "dataset " + Hdf5Quoted(object.path)));
  object.stored_bytes = H5Dget_storage_size(dataset);
  if (object.stored_bytes > file_size) {
    return Fail(DatasetError(ErrorCode::kCorrupt,
                             "claims " + std::to_string(object.stored_bytes) +
                                 " stored bytes in a file of " + std::to_string(file_size),
                             object.path));
  }
  const Hdf5ElementType element = ElementsOf(dataset, object);
  if (!CheckedMul(object.shape.element_count(), element.stored_size, &object.byte_size)) {
    return Fail(
        DatasetError(ErrorCode::kCorrupt, "declares more bytes than can be counted", object.path));
  }
  CKPT_RETURN_IF_ERROR(RefuseShapeBomb(object.byte_size, object));
  object.dtype = element.dtype;
  object.unsupported = element.unsupported;
  if (object.unsupported.empty()) {
    CKPT_ASSIGN_OR_RETURN(object.unsupported, UnreadableFilter(creation.get(), object.path));
  }
  if (object.unsupported.empty() &&
      (element.stored_size == 0 || element.stored_size > kHdf5ElementBytes)) {
    object.unsupported = "has elements of " + std::to_string(element.stored_size) + " bytes";
  }
  if (!object.unsupported.empty()) object.dtype.reset();
  object.data_offset = DataOffset(dataset, creation.get(), element, object);
  return {};
}

}  // namespace ckpt::formats
