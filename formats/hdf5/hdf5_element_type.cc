#include "formats/hdf5/hdf5_element_type.h"

#include <array>
#include <cstring>
#include <memory>

namespace ckpt::formats {
namespace {

// How an IEEE-like type divides its bits, from the highest: one sign bit, exponent, mantissa.
struct FloatLayout {
  Dtype dtype;
  std::size_t size;  // bytes
  std::size_t exponent_bits, mantissa_bits, bias;
};
constexpr std::array<FloatLayout, 4> kFloatLayouts = {{
    {Dtype::kF16, 2, 5, 10, 15},
    {Dtype::kBF16, 2, 8, 7, 127},
    {Dtype::kF32, 4, 8, 23, 127},
    {Dtype::kF64, 8, 11, 52, 1023},
}};

struct IntegerType {
  Dtype dtype;
  std::size_t size;  // bytes
  bool is_signed;
};
constexpr std::array<IntegerType, 8> kIntegerTypes = {{
    {Dtype::kU8, 1, false},
    {Dtype::kI8, 1, true},
    {Dtype::kU16, 2, false},
    {Dtype::kI16, 2, true},
    {Dtype::kU32, 4, false},
    {Dtype::kI32, 4, true},
    {Dtype::kU64, 8, false},
    {Dtype::kI64, 8, true},
}};

bool IsPlainOrder(hid_t type) {
  const H5T_order_t order = H5Tget_order(type);
  return order == H5T_ORDER_LE || order == H5T_ORDER_BE;
}

std::optional<Dtype> FloatDtype(hid_t type) {
  std::size_t sign = 0, exponent = 0, exponent_bits = 0, mantissa = 0, mantissa_bits = 0;
  if (!IsPlainOrder(type) || H5Tget_norm(type) != H5T_NORM_IMPLIED ||
      H5Tget_fields(type, &sign, &exponent, &exponent_bits, &mantissa, &mantissa_bits) < 0) {
    return std::nullopt;
  }
  for (const FloatLayout& layout : kFloatLayouts) {
    if (H5Tget_size(type) == layout.size && sign == layout.size * 8 - 1 && mantissa == 0 &&
        exponent == layout.mantissa_bits && mantissa_bits == layout.mantissa_bits &&
        exponent_bits == layout.exponent_bits && H5Tget_ebias(type) == layout.bias) {
      return layout.dtype;
    }
  }
  return std::nullopt;
}

std::optional<Dtype> IntegerDtype(hid_t type) {
  const std::size_t size = H5Tget_size(type);
  if (!IsPlainOrder(type) || H5Tget_precision(type) != size * 8 || H5Tget_offset(type) != 0) {
    return std::nullopt;
  }
  const bool is_signed = H5Tget_sign(type) == H5T_SGN_2;
  for (const IntegerType& integer : kIntegerTypes) {
    if (integer.size == size && integer.is_signed == is_signed) return integer.dtype;
  }
  return std::nullopt;
}

std::string MemberName(hid_t type, unsigned index) {
  char* name = H5Tget_member_name(type, index);
  std::string text = name == nullptr ? "" : name;
  H5free_memory(name);
  return text;
}

// h5py keeps NumPy's bool as an enumeration of one byte: FALSE = 0, TRUE = 1.
bool IsBool(hid_t type) {
  if (H5Tget_size(type) != 1 || H5Tget_nmembers(type) != 2) return false;
  for (unsigned i = 0; i < 2; ++i) {
    std::int8_t value = -1;
    if (H5Tget_member_value(type, i, &value) < 0) return false;
    if (MemberName(type, i) != (value == 0 ? "FALSE" : "TRUE") || (value != 0 && value != 1)) {
      return false;
    }
  }
  return true;
}

// h5py keeps complex numbers as a compound of two equal floats named r and i.
std::optional<Dtype> ComplexDtype(hid_t type) {
  if (H5Tget_nmembers(type) != 2 || MemberName(type, 0) != "r" || MemberName(type, 1) != "i") {
    return std::nullopt;
  }
  const Hdf5Id real(H5Tget_member_type(type, 0), H5Tclose);
  const Hdf5Id imaginary(H5Tget_member_type(type, 1), H5Tclose);
  if (!real.ok() || !imaginary.ok() || H5Tget_class(real.get()) != H5T_FLOAT ||
      H5Tequal(real.get(), imaginary.get()) <= 0) {
    return std::nullopt;
  }
  const std::optional<Dtype> part = FloatDtype(real.get());
  const std::size_t size = H5Tget_size(real.get());
  if (H5Tget_size(type) != 2 * size || H5Tget_member_offset(type, 0) != 0 ||
      H5Tget_member_offset(type, 1) != size) {
    return std::nullopt;
  }
  if (part == Dtype::kF32) return Dtype::kC64;
  if (part == Dtype::kF64) return Dtype::kC128;
  return std::nullopt;
}

Hdf5Id ComplexType(hid_t part) {
  const std::size_t size = H5Tget_size(part);
  Hdf5Id type(H5Tcreate(H5T_COMPOUND, 2 * size), H5Tclose);
  H5Tinsert(type.get(), "r", 0, part);
  H5Tinsert(type.get(), "i", size, part);
  return type;
}

Hdf5Id BoolType() {
  Hdf5Id type(H5Tenum_create(H5T_STD_I8LE), H5Tclose);
  for (const auto& [name, value] :
       {std::pair("FALSE", std::int8_t{0}), std::pair("TRUE", std::int8_t{1})}) {
    H5Tenum_insert(type.get(), name, &value);
  }
  return type;
}

Hdf5Id HalfType() {
  Hdf5Id type(H5Tcopy(H5T_IEEE_F32LE), H5Tclose);
  H5Tset_fields(type.get(), 15, 10, 5, 0, 10);
  H5Tset_size(type.get(), 2);
  H5Tset_ebias(type.get(), 15);
  return type;
}

Dtype OpaqueDtype(std::size_t size, std::string_view dtype_attribute) {
  const std::optional<Dtype> named = DtypeFromName(dtype_attribute);
  // Only types that HDF5 has none for: an attribute does not turn bytes into integers.
  if (named && IsFloat(*named) && BitSize(*named) == size * 8 && *named != Dtype::kF16 &&
      *named != Dtype::kF32 && *named != Dtype::kF64) {
    return *named;
  }
  return Dtype::kVoid;
}

std::string_view ClassName(H5T_class_t kind) {
  switch (kind) {
    case H5T_INTEGER:
      return "an integer type of an unusual size";
    case H5T_FLOAT:
      return "a floating-point type that is not IEEE";
    case H5T_TIME:
      return "a time type";
    case H5T_BITFIELD:
      return "a bit-field type";
    case H5T_COMPOUND:
      return "a compound type";
    case H5T_REFERENCE:
      return "a reference type";
    case H5T_ENUM:
      return "an enumeration type";
    case H5T_VLEN:
      return "a variable-length type";
    case H5T_ARRAY:
      return "an array type";
    default:
      return "an unknown type";
  }
}

std::optional<Dtype> DtypeOf(hid_t type, H5T_class_t kind, std::string_view dtype_attribute) {
  switch (kind) {
    case H5T_INTEGER:
      return IntegerDtype(type);
    case H5T_FLOAT:
      return FloatDtype(type);
    case H5T_STRING:
      return Dtype::kString;
    case H5T_OPAQUE:
      return OpaqueDtype(H5Tget_size(type), dtype_attribute);
    case H5T_COMPOUND:
      return ComplexDtype(type);
    case H5T_ENUM:
      return IsBool(type) ? std::optional(Dtype::kBool) : std::nullopt;
    default:
      return std::nullopt;
  }
}

Hdf5Id MemoryType(hid_t type, H5T_class_t kind, Dtype dtype) {
  if (dtype == Dtype::kC64) return ComplexType(H5T_IEEE_F32LE);
  if (dtype == Dtype::kC128) return ComplexType(H5T_IEEE_F64LE);
  Hdf5Id memory(H5Tcopy(type), H5Tclose);
  if (kind == H5T_INTEGER || kind == H5T_FLOAT) H5Tset_order(memory.get(), H5T_ORDER_LE);
  return memory;
}

}  // namespace

Hdf5ElementType ClassifyElements(hid_t file_type, std::string_view dtype_attribute) {
  Hdf5ElementType element;
  const H5T_class_t kind = H5Tget_class(file_type);
  element.stored_size = H5Tget_size(file_type);
  element.dtype = DtypeOf(file_type, kind, dtype_attribute);
  if (!element.dtype) {
    element.unsupported = "has elements of " + std::string(ClassName(kind));
    return element;
  }
  element.memory_type = MemoryType(file_type, kind, *element.dtype);
  element.stored_as_read =
      *element.dtype != Dtype::kString && H5Tequal(file_type, element.memory_type.get()) > 0;
  return element;
}

Hdf5Id StoredType(Dtype dtype) {
  const auto copy = [](hid_t type) { return Hdf5Id(H5Tcopy(type), H5Tclose); };
  switch (dtype) {
    case Dtype::kBool:
      return BoolType();
    case Dtype::kU8:
      return copy(H5T_STD_U8LE);
    case Dtype::kI8:
      return copy(H5T_STD_I8LE);
    case Dtype::kU16:
      return copy(H5T_STD_U16LE);
    case Dtype::kI16:
      return copy(H5T_STD_I16LE);
    case Dtype::kU32:
      return copy(H5T_STD_U32LE);
    case Dtype::kI32:
      return copy(H5T_STD_I32LE);
    case Dtype::kU64:
      return copy(H5T_STD_U64LE);
    case Dtype::kI64:
      return copy(H5T_STD_I64LE);
    case Dtype::kF16:
      return HalfType();
    case Dtype::kBF16:
      return {H5Tcreate(H5T_OPAQUE, 2), H5Tclose};
    case Dtype::kF32:
      return copy(H5T_IEEE_F32LE);
    case Dtype::kF64:
      return copy(H5T_IEEE_F64LE);
    case Dtype::kC64:
      return ComplexType(H5T_IEEE_F32LE);
    case Dtype::kC128:
      return ComplexType(H5T_IEEE_F64LE);
    default:
      return {};
  }
}

}  // namespace ckpt::formats
