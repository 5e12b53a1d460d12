#include "formats/hdf5/hdf5_wire.h"

#include <algorithm>
#include <cstring>

#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

enum class AnswerKind : std::uint8_t { kPayload = 0, kError = 1 };
enum class ValueKind : std::uint8_t { kNone = 0, kTexts = 1, kIntegers = 2, kDoubles = 3 };

template <class T>
void Put(std::vector<std::byte>& out, T value) {
  const auto bytes = std::as_bytes(std::span(&value, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void PutText(std::vector<std::byte>& out, std::string_view text) {
  Put<std::uint64_t>(out, text.size());
  const auto bytes = std::as_bytes(std::span(text));
  out.insert(out.end(), bytes.begin(), bytes.end());
}

void PutShape(std::vector<std::byte>& out, const Shape& shape) {
  Put(out, static_cast<std::uint8_t>(shape.rank()));
  for (const std::int64_t dim : shape.dims()) Put(out, dim);
}

std::string GetText(ByteReader& in) { return std::string(in.Text(in.U64())); }

Shape GetShape(ByteReader& in) {
  std::vector<std::int64_t> dims(in.U8());
  for (std::int64_t& dim : dims) dim = static_cast<std::int64_t>(in.U64());
  const Result<Shape> shape = Shape::FromDims(dims);
  if (!shape) in.Fail(shape.error().message);
  return shape ? *shape : Shape{};
}

void PutAttribute(std::vector<std::byte>& out, const Hdf5Attribute& attribute) {
  PutText(out, attribute.name);
  PutShape(out, attribute.shape);
  if (const auto* texts = std::get_if<std::vector<std::string>>(&attribute.value)) {
    Put(out, ValueKind::kTexts);
    Put<std::uint64_t>(out, texts->size());
    for (const std::string& text : *texts) PutText(out, text);
  } else if (const auto* integers = std::get_if<std::vector<std::int64_t>>(&attribute.value)) {
    Put(out, ValueKind::kIntegers);
    Put<std::uint64_t>(out, integers->size());
    for (const std::int64_t value : *integers) Put(out, value);
  } else if (const auto* doubles = std::get_if<std::vector<double>>(&attribute.value)) {
    Put(out, ValueKind::kDoubles);
    Put<std::uint64_t>(out, doubles->size());
    for (const double value : *doubles) Put(out, value);
  } else {
    Put(out, ValueKind::kNone);
    Put<std::uint64_t>(out, 0);
  }
}

template <class T, class Get>
std::vector<T> GetList(ByteReader& in, std::uint64_t count, Get get) {
  std::vector<T> list(in.Count(count, sizeof(std::uint64_t)));
  for (T& item : list) item = get(in);
  return list;
}

Hdf5Attribute GetAttribute(ByteReader& in) {
  Hdf5Attribute attribute{GetText(in), GetShape(in)};
  const auto kind = static_cast<ValueKind>(in.U8());
  const std::uint64_t count = in.U64();
  switch (kind) {
    case ValueKind::kNone:
      return attribute;
    case ValueKind::kTexts:
      attribute.value = GetList<std::string>(in, count, GetText);
      break;
    case ValueKind::kIntegers:
      attribute.value = GetList<std::int64_t>(
          in, count, [](ByteReader& item) { return static_cast<std::int64_t>(item.U64()); });
      break;
    case ValueKind::kDoubles:
      attribute.value = GetList<double>(in, count, [](ByteReader& item) {
        const std::uint64_t bits = item.U64();
        double value = 0;
        std::memcpy(&value, &bits, sizeof value);
        return value;
      });
      break;
    default:
      in.Fail("attribute of an unknown kind");
  }
  if (count != attribute.shape.element_count()) in.Fail("attribute with a wrong count of values");
  return attribute;
}

std::vector<Hdf5Attribute> GetAttributes(ByteReader& in) {
  // A name, a rank, a kind and a count at least.
  auto count = in.Count(in.U64(), 18);
  std::vector<Hdf5Attribute> attributes;
  for (; count > 0 && in.ok(); --count) attributes.push_back(GetAttribute(in));
  std::sort(attributes.begin(), attributes.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  const auto twice =
      std::adjacent_find(attributes.begin(), attributes.end(),
                         [](const auto& a, const auto& b) { return a.name == b.name; });
  if (twice != attributes.end()) in.Fail("two attributes named \"" + twice->name + "\"");
  return attributes;
}

void PutDataset(std::vector<std::byte>& out, const Hdf5Object& object) {
  Put(out, object.dtype ? static_cast<std::uint8_t>(*object.dtype) : std::uint8_t{0xff});
  PutText(out, object.unsupported);
  PutShape(out, object.shape);
  Put(out, object.byte_size);
  Put(out, object.stored_bytes);
  Put(out, static_cast<std::uint8_t>(object.data_offset.has_value()));
  Put(out, object.data_offset.value_or(0));
}

void GetDataset(ByteReader& in, Hdf5Object& object) {
  const std::uint8_t dtype = in.U8();
  object.unsupported = GetText(in);
  if (dtype <= static_cast<std::uint8_t>(Dtype::kVoid)) object.dtype = static_cast<Dtype>(dtype);
  if (!object.dtype && object.unsupported.empty()) in.Fail("a dataset without a type");
  object.shape = GetShape(in);
  object.byte_size = in.U64();
  object.stored_bytes = in.U64();
  const bool has_offset = in.U8() != 0;
  const std::uint64_t offset = in.U64();
  if (has_offset) object.data_offset = offset;
}

// What a dataset of the listing must satisfy for the rest of the program to rely on it.
Status CheckDataset(const Hdf5Object& object, const RandomAccessFile& file) {
  const auto fail = [&](std::string what) {
    return Fail(Error{ErrorCode::kCorrupt, std::move(what)}.In(file.path()).Of(object.path));
  };
  if (object.stored_bytes > file.size()) {
    return fail("claims " + std::to_string(object.stored_bytes) + " stored bytes in a file of " +
                std::to_string(file.size()));
  }
  if (!object.dtype || object.dtype == Dtype::kString) return {};
  const std::uint64_t count = object.shape.element_count();
  std::uint64_t bytes = 0;
  const unsigned bits = BitSize(*object.dtype);
  const bool agrees =
      bits == 0 ? (count == 0 ? object.byte_size == 0 : object.byte_size % count == 0)
                : bits % 8 == 0 && CheckedMul(count, bits / 8, &bytes) && bytes == object.byte_size;
  if (!agrees) return fail("has a size that does not follow from its shape and type");
  if (object.data_offset && !RangeFits(*object.data_offset, object.byte_size, file.size())) {
    return Fail(
        Error{ErrorCode::kCorrupt,
              "the " + std::to_string(object.byte_size) +
                  " bytes of the dataset, which begin here, reach beyond the end of the file",
              file.path(), object.data_offset, object.path});
  }
  return {};
}

}  // namespace

std::vector<std::byte> EncodeRequest(const Hdf5Request& request) {
  std::vector<std::byte> out;
  Put(out, request.question);
  Put(out, request.dataset);
  Put(out, request.first);
  Put(out, request.max_elements);
  return out;
}

Result<Hdf5Request> DecodeRequest(std::span<const std::byte> bytes) {
  ByteReader in(bytes);
  const Hdf5Request request{static_cast<Hdf5Question>(in.U8()), in.U32(), in.U64(), in.U64()};
  CKPT_RETURN_IF_ERROR(in.status());
  return request;
}

Hdf5AnswerWriter::Hdf5AnswerWriter() { Put(bytes_, AnswerKind::kPayload); }

void Hdf5AnswerWriter::Add(const Hdf5Object& object) {
  Put(bytes_, object.kind);
  PutText(bytes_, object.path);
  Put<std::uint64_t>(bytes_, object.attributes.size());
  for (const Hdf5Attribute& attribute : object.attributes) PutAttribute(bytes_, attribute);
  if (object.kind == Hdf5Object::Kind::kDataset) PutDataset(bytes_, object);
}

void Hdf5AnswerWriter::AddU64(std::uint64_t value) { Put(bytes_, value); }
void Hdf5AnswerWriter::AddText(std::string_view text) { PutText(bytes_, text); }

std::vector<std::byte> EncodeError(const Error& error) {
  std::vector<std::byte> out;
  Put(out, AnswerKind::kError);
  Put(out, error.code);
  Put(out, error.remedy);
  PutText(out, error.message);
  PutText(out, error.tensor);
  return out;
}

Result<std::span<const std::byte>> DecodeAnswer(std::span<const std::byte> answer,
                                                const std::string& file) {
  ByteReader in(answer, 0, file);
  const auto kind = static_cast<AnswerKind>(in.U8());
  if (kind == AnswerKind::kPayload && in.ok()) return answer.subspan(1);
  const auto code = static_cast<ErrorCode>(in.U8());
  const std::uint8_t remedy = in.U8();
  Error error = Error{code, GetText(in)}.In(file).Of(GetText(in));
  if (remedy == static_cast<std::uint8_t>(Remedy::kMoreMemory)) error.remedy = Remedy::kMoreMemory;
  // Nothing else can be true of a file that was opened already.
  const bool sensible = code == ErrorCode::kCorrupt || code == ErrorCode::kLimitExceeded ||
                        code == ErrorCode::kUnsupported || code == ErrorCode::kUnsafe ||
                        code == ErrorCode::kIo;
  if (kind != AnswerKind::kError || !in.ok() || !sensible) {
    error = {ErrorCode::kCorrupt, "the HDF5 library gave no sensible answer", file};
  }
  return Fail(std::move(error));
}

Result<std::vector<Hdf5Object>> DecodeListing(std::span<const std::byte> payload,
                                              const RandomAccessFile& file, const Limits& limits) {
  ByteReader in(payload);
  std::vector<Hdf5Object> objects;
  while (in.ok() && in.remaining() > 0) {
    Hdf5Object object;
    object.kind = in.U8() == 0 ? Hdf5Object::Kind::kGroup : Hdf5Object::Kind::kDataset;
    object.path = GetText(in);
    object.attributes = GetAttributes(in);
    if (object.kind == Hdf5Object::Kind::kDataset) GetDataset(in, object);
    if (!in.ok()) break;
    if (object.kind == Hdf5Object::Kind::kDataset) CKPT_RETURN_IF_ERROR(CheckDataset(object, file));
    objects.push_back(std::move(object));
    if (objects.size() > limits.tensors) {
      return Fail(Error{ErrorCode::kLimitExceeded,
                        "has more than " + std::to_string(limits.tensors) + " objects",
                        file.path()});
    }
  }
  if (const Status status = in.status(); !status) {
    return Fail(
        Error{ErrorCode::kCorrupt,
              "the HDF5 library gave a listing that makes no sense: " + status.error().message,
              file.path()});
  }
  return objects;
}

}  // namespace ckpt::formats
