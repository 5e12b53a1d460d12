#include "formats/hdf5/hdf5_attributes.h"

#include <algorithm>
#include <cstring>

#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

// What is open while one attribute is read.
struct OpenAttribute {
  Hdf5Id id, type, space;
  std::string what;  // for messages: "attribute \"a\" of \"/b\""
  std::size_t count = 0;
};

Error BadAttribute(const OpenAttribute& attribute) {
  return Hdf5Error(ErrorCode::kCorrupt, "reading the " + attribute.what);
}

Error TooMuch() {
  return Error{ErrorCode::kLimitExceeded,
               "the attributes of the file are larger than the limit metadata_bytes"}
      .With(Remedy::kMoreMemory);
}

[[nodiscard]] bool Spend(std::uint64_t& budget, std::uint64_t bytes) {
  if (bytes > budget) return false;
  budget -= bytes;
  return true;
}

template <class T>
Result<std::vector<T>> ReadNumbers(const OpenAttribute& attribute, hid_t memory_type) {
  std::vector<T> values(attribute.count);
  if (!values.empty() && H5Aread(attribute.id.get(), memory_type, values.data()) < 0) {
    return Fail(BadAttribute(attribute));
  }
  return values;
}

Result<std::vector<std::string>> ReadFixed(const OpenAttribute& attribute, std::size_t size) {
  std::vector<char> text(attribute.count * size);
  if (!text.empty() && H5Aread(attribute.id.get(), attribute.type.get(), text.data()) < 0) {
    return Fail(BadAttribute(attribute));
  }
  const H5T_str_t padding = H5Tget_strpad(attribute.type.get());
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < attribute.count; ++i) {
    // Names end at the first NUL, however they are said to be padded.
    texts.emplace_back(Unpadded(text.data() + i * size, size, padding).c_str());
  }
  return texts;
}

Result<std::vector<std::string>> ReadVariable(const OpenAttribute& attribute,
                                              std::uint64_t& budget) {
  std::vector<char*> pointers(attribute.count);
  if (!pointers.empty() && H5Aread(attribute.id.get(), attribute.type.get(), pointers.data()) < 0) {
    return Fail(BadAttribute(attribute));
  }
  std::vector<std::string> texts;
  for (const char* pointer : pointers) {
    const std::size_t size = pointer == nullptr ? 0 : std::strlen(pointer);
    if (!Spend(budget, size)) return Fail(TooMuch());
    texts.emplace_back(pointer == nullptr ? "" : pointer, size);
  }
  if (!pointers.empty()) {
    H5Dvlen_reclaim(attribute.type.get(), attribute.space.get(), H5P_DEFAULT, pointers.data());
  }
  return texts;
}

Status ReadValue(const OpenAttribute& open, std::uint64_t& budget, Hdf5Attribute& attribute) {
  const H5T_class_t kind = H5Tget_class(open.type.get());
  const std::size_t size = H5Tget_size(open.type.get());
  std::uint64_t bytes = 0;
  if (!CheckedMul(open.count, std::max(size, sizeof(std::uint64_t)), &bytes)) {
    return Fail(TooMuch());
  }
  if (!Spend(budget, bytes)) return Fail(TooMuch());
  if (kind == H5T_STRING) {
    const htri_t variable = H5Tis_variable_str(open.type.get());
    if (variable < 0) return Fail(BadAttribute(open));
    CKPT_ASSIGN_OR_RETURN(attribute.value,
                          variable > 0 ? ReadVariable(open, budget) : ReadFixed(open, size));
  } else if (kind == H5T_INTEGER) {
    CKPT_ASSIGN_OR_RETURN(attribute.value, ReadNumbers<std::int64_t>(open, H5T_NATIVE_INT64));
  } else if (kind == H5T_FLOAT) {
    CKPT_ASSIGN_OR_RETURN(attribute.value, ReadNumbers<double>(open, H5T_NATIVE_DOUBLE));
  } else if (kind == H5T_ENUM && size == 1) {  // h5py's bool
    CKPT_ASSIGN_OR_RETURN(const auto codes, ReadNumbers<std::int8_t>(open, open.type.get()));
    attribute.value = std::vector<std::int64_t>(codes.begin(), codes.end());
  }
  return {};
}

Result<std::string> NameOf(const OpenAttribute& attribute, std::uint64_t& budget) {
  const ssize_t size = H5Aget_name(attribute.id.get(), 0, nullptr);
  if (size < 0) return Fail(BadAttribute(attribute));
  if (!Spend(budget, static_cast<std::uint64_t>(size) + sizeof(Hdf5Attribute))) {
    return Fail(TooMuch());
  }
  std::vector<char> name(static_cast<std::size_t>(size) + 1);
  if (H5Aget_name(attribute.id.get(), name.size(), name.data()) < 0) {
    return Fail(BadAttribute(attribute));
  }
  return std::string(name.data());
}

Result<Hdf5Attribute> ReadAttribute(hid_t object, hsize_t index, const std::string& path,
                                    std::uint64_t& budget) {
  OpenAttribute open;
  open.what = "attribute " + std::to_string(index) + " of " + Hdf5Quoted(path);
  open.id = {
      H5Aopen_by_idx(object, ".", H5_INDEX_NAME, H5_ITER_INC, index, H5P_DEFAULT, H5P_DEFAULT),
      H5Aclose};
  if (!open.id.ok()) return Fail(BadAttribute(open));
  Hdf5Attribute attribute;
  CKPT_ASSIGN_OR_RETURN(attribute.name, NameOf(open, budget));
  open.what = "attribute " + Hdf5Quoted(attribute.name) + " of " + Hdf5Quoted(path);
  open.type = {H5Aget_type(open.id.get()), H5Tclose};
  open.space = {H5Aget_space(open.id.get()), H5Sclose};
  if (!open.type.ok() || !open.space.ok()) return Fail(BadAttribute(open));
  if (H5Sget_simple_extent_type(open.space.get()) == H5S_NULL) return attribute;
  CKPT_ASSIGN_OR_RETURN(attribute.shape, Hdf5Shape(open.space.get(), open.what));
  open.count = attribute.shape.element_count();
  CKPT_RETURN_IF_ERROR(ReadValue(open, budget, attribute));
  return attribute;
}

}  // namespace

std::string Unpadded(const char* text, std::size_t size, H5T_str_t padding) {
  if (padding == H5T_STR_NULLTERM) return std::string(text, ::strnlen(text, size));
  const char pad = padding == H5T_STR_SPACEPAD ? ' ' : '\0';
  while (size > 0 && text[size - 1] == pad) --size;
  return std::string(text, size);
}

Result<std::vector<Hdf5Attribute>> ReadAttributes(hid_t object, const std::string& path,
                                                  std::uint64_t& budget) {
  H5O_info_t info{};
  if (H5Oget_info2(object, &info, H5O_INFO_NUM_ATTRS) < 0) {
    return Fail(Hdf5Error(ErrorCode::kCorrupt, "counting the attributes of " + Hdf5Quoted(path)));
  }
  std::vector<Hdf5Attribute> attributes;
  for (hsize_t i = 0; i < info.num_attrs; ++i) {
    CKPT_ASSIGN_OR_RETURN(Hdf5Attribute attribute, ReadAttribute(object, i, path, budget));
    attributes.push_back(std::move(attribute));
  }
  return attributes;
}

}  // namespace ckpt::formats
