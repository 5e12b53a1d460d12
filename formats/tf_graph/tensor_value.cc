#include "formats/tf_graph/tensor_value.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <utility>
#include <vector>

#include "formats/container/range_stream.h"
#include "formats/encoding/byte_reader.h"
#include "formats/tf_bundle/stored_elements.h"

namespace ckpt::formats {
namespace {

using tf_proto::TensorProto;

template <class Word>
void AppendWord(std::string* out, Word word) {
  for (std::size_t i = 0; i < sizeof(Word); ++i) {
    out->push_back(static_cast<char>(static_cast<std::uint64_t>(word) >> (8 * i)));
  }
}
void AppendWords(std::string* out, const google::protobuf::RepeatedField<float>& values) {
  for (const float value : values) AppendWord(out, std::bit_cast<std::uint32_t>(value));
}
void AppendWords(std::string* out, const google::protobuf::RepeatedField<double>& values) {
  for (const double value : values) AppendWord(out, std::bit_cast<std::uint64_t>(value));
}
template <class Word, class Value>
void AppendAs(std::string* out, const google::protobuf::RepeatedField<Value>& values) {
  for (const Value value : values) AppendWord(out, static_cast<Word>(value));
}

// The values in the field of the type, as they would be in memory. Not of strings.
std::string TypedValues(const TensorProto& proto, const TfDtype& dtype) {
  std::string out;
  switch (dtype.dtype) {
    case Dtype::kF32:
      AppendWords(&out, proto.float_val());
      break;
    case Dtype::kF64:
      AppendWords(&out, proto.double_val());
      break;
    case Dtype::kC64:
      AppendWords(&out, proto.scomplex_val());
      break;
    case Dtype::kC128:
      AppendWords(&out, proto.dcomplex_val());
      break;
    case Dtype::kI64:
      AppendAs<std::uint64_t>(&out, proto.int64_val());
      break;
    case Dtype::kU64:
      AppendAs<std::uint64_t>(&out, proto.uint64_val());
      break;
    case Dtype::kU32:
      AppendAs<std::uint32_t>(&out, proto.uint32_val());
      break;
    case Dtype::kBool:
      AppendAs<std::uint8_t>(&out, proto.bool_val());
      break;
    case Dtype::kF16:
    case Dtype::kBF16:
      AppendAs<std::uint16_t>(&out, proto.half_val());
      break;
    case Dtype::kF8E4M3FN:
    case Dtype::kF8E5M2:
    case Dtype::kF8E4M3FNUZ:
    case Dtype::kF8E5M2FNUZ:
      out = proto.float8_val();
      break;
    default:
      if (dtype.stored_bytes == 4) AppendAs<std::uint32_t>(&out, proto.int_val());
      if (dtype.stored_bytes == 2) AppendAs<std::uint16_t>(&out, proto.int_val());
      if (dtype.stored_bytes == 1) AppendAs<std::uint8_t>(&out, proto.int_val());
  }
  return out;
}

const LeftValue* LeftInFile(const TfGraphRecord& record, const TensorProto& proto) {
  const std::uint32_t place = proto.left_in_file();
  return place == 0 || place > record.left.size() ? nullptr : &record.left[place - 1];
}

Error Lying(const std::string& holds, const Shape& shape) {
  return Error{ErrorCode::kCorrupt, "holds " + holds + " where its shape " + ToString(shape) +
                                        " has " + std::to_string(shape.element_count()) +
                                        " elements"};
}

// Strings inside tensor_content: all lengths, then all bytes.
Result<std::vector<std::string>> StringsOf(std::string_view content, std::uint64_t count) {
  ByteReader reader(std::as_bytes(std::span(content)));
  std::vector<std::uint32_t> lengths(static_cast<std::size_t>(reader.Count(count, 1)));
  for (std::uint32_t& length : lengths) length = reader.Varint32();
  std::vector<std::string> strings;
  for (const std::uint32_t length : lengths) {
    if (!reader.ok()) break;
    strings.emplace_back(reader.Text(length));
  }
  if (!reader.ok() || reader.remaining() > 0) {
    return Fail(ErrorCode::kCorrupt, "holds strings that are not as long as it says");
  }
  return strings;
}

// The explicit strings; fewer than elements: the last is repeated.
Result<std::vector<std::string>> ExplicitStrings(const TfGraphRecord& record,
                                                 const TensorProto& proto, std::uint64_t count,
                                                 const Limits& limits) {
  if (const LeftValue* range = LeftInFile(record, proto)) {
    if (range->size > limits.metadata_bytes)
      return Fail(ErrorCode::kLimitExceeded, "holds more bytes of strings than are read at once");
    std::string content(static_cast<std::size_t>(range->size), '\0');
    CKPT_RETURN_IF_ERROR(
        record.file->ReadAt(range->offset, std::as_writable_bytes(std::span(content))));
    return StringsOf(content, count);
  }
  if (!proto.tensor_content().empty()) return StringsOf(proto.tensor_content(), count);
  return std::vector<std::string>(proto.string_val().begin(), proto.string_val().end());
}

Result<GraphTensor> DescribeStrings(const TfGraphRecord& record, const TensorProto& proto,
                                    GraphTensor tensor, const Limits& limits) {
  const std::uint64_t count = tensor.shape.element_count();
  CKPT_ASSIGN_OR_RETURN(const auto strings, ExplicitStrings(record, proto, count, limits));
  if (strings.size() > count)
    return Fail(Lying(std::to_string(strings.size()) + " strings", tensor.shape));
  const std::uint64_t repeated = strings.empty() ? 0 : strings.back().size();
  std::uint64_t bytes = 0;
  if (!CheckedMul(count - strings.size(), sizeof(std::uint64_t) + repeated, &bytes)) {
    return Fail(ErrorCode::kLimitExceeded, "repeats a string too often");
  }
  for (const std::string& string : strings) {
    if (!CheckedAdd(bytes, sizeof(std::uint64_t) + string.size(), &bytes)) break;
  }
  if (bytes > limits.metadata_bytes)
    return Fail(ErrorCode::kLimitExceeded, "holds more bytes of strings than are read at once");
  tensor.byte_size = bytes;
  return tensor;
}

class MemoryStream : public TensorStream {
 public:
  explicit MemoryStream(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<std::span<const std::byte>> Next() override {
    const auto all = std::as_bytes(std::span(bytes_)).subspan(position_);
    const auto chunk = all.first(std::min(all.size(), kStreamChunkBytes));
    position_ += chunk.size();
    return chunk;
  }

 private:
  std::string bytes_;
  std::size_t position_ = 0;
};

// Explicit elements from memory or from the file, then the last of them again and again.
class ElementsStream : public TensorStream {
 public:
  ElementsStream(std::shared_ptr<const TfGraphRecord> record, const TfDtype& dtype,
                 std::uint64_t count, std::string held, const LeftValue* range, std::string tensor)
      : record_(std::move(record)),
        dtype_(dtype),
        left_(count),
        held_(std::move(held)),
        range_(range),
        explicit_((range != nullptr ? range->size : held_.size()) / dtype.stored_bytes),
        last_(dtype.stored_bytes, std::byte{0}),
        tensor_(std::move(tensor)) {}

  Result<std::span<const std::byte>> Next() override {
    const std::size_t size = dtype_.stored_bytes;
    const auto count =
        static_cast<std::size_t>(std::min<std::uint64_t>(left_, kStreamChunkBytes / size));
    buffer_.resize(count * size);
    const auto given = static_cast<std::size_t>(
        std::min<std::uint64_t>(count, explicit_ - std::min(explicit_, position_)));
    if (given > 0) {
      CKPT_RETURN_IF_ERROR(Explicit(std::span(buffer_).first(given * size)));
      std::copy_n(buffer_.begin() + static_cast<std::ptrdiff_t>((given - 1) * size), size,
                  last_.begin());
    }
    for (std::size_t i = given; i < count; ++i)
      std::copy(last_.begin(), last_.end(),
                buffer_.begin() + static_cast<std::ptrdiff_t>(i * size));
    position_ += count;
    left_ -= count;
    return DecodeStored(dtype_, false, buffer_);
  }

 private:
  Status Explicit(std::span<std::byte> out) {
    const std::uint64_t offset = position_ * dtype_.stored_bytes;
    if (range_ == nullptr) {
      std::memcpy(out.data(), held_.data() + offset, out.size());
      return {};
    }
    Status read = record_->file->ReadAt(range_->offset + offset, out);
    if (!read) read.error().tensor = tensor_;
    return read;
  }

  std::shared_ptr<const TfGraphRecord> record_;
  const TfDtype& dtype_;
  std::uint64_t left_, position_ = 0;
  std::string held_;
  const LeftValue* range_;
  std::uint64_t explicit_;
  std::vector<std::byte> last_, buffer_;
  std::string tensor_;
};

Error Named(Error error, const TfGraphRecord& record, const std::string& tensor) {
  if (error.file.empty()) error.file = record.file->path();
  error.tensor = tensor;
  return error;
}

}  // namespace

Result<GraphTensor> DescribeGraphTensor(const TfGraphRecord& record, const TensorProto& proto,
                                        const Limits& limits) {
  GraphTensor tensor;
  tensor.dtype = FindTfDtype(static_cast<std::int32_t>(proto.dtype()));
  if (tensor.dtype == nullptr) {
    return Fail(ErrorCode::kUnsupported, "has the element type " +
                                             std::to_string(static_cast<int>(proto.dtype())) +
                                             ", which is not known");
  }
  if (proto.tensor_shape().unknown_rank())
    return Fail(ErrorCode::kCorrupt, "is a value of unknown rank");
  std::vector<std::int64_t> dims;
  for (const auto& dim : proto.tensor_shape().dim()) dims.push_back(dim.size());
  CKPT_ASSIGN_OR_RETURN(tensor.shape, Shape::FromDims(dims));
  if (tensor.dtype->dtype == Dtype::kString)
    return DescribeStrings(record, proto, std::move(tensor), limits);
  const std::size_t size = tensor.dtype->stored_bytes;
  if (size == 0) return tensor;  // resources and variants: TensorFlow alone knows

  const std::uint64_t count = tensor.shape.element_count();
  std::uint64_t bytes = 0;
  if (!CheckedMul(count, size, &bytes) || bytes > limits.index_bytes) {
    return Fail(ErrorCode::kLimitExceeded, "claims a value of shape " + ToString(tensor.shape) +
                                               ", more than " + std::to_string(limits.index_bytes) +
                                               " bytes");
  }
  tensor.byte_size = tensor.dtype->packed() ? count / 2 + count % 2 : bytes;
  const LeftValue* const range = LeftInFile(record, proto);
  const bool content = !proto.tensor_content().empty() || (range != nullptr && range->content);
  const bool typed = proto.float_val_size() > 0 || proto.double_val_size() > 0;
  if (range != nullptr && (typed || !proto.tensor_content().empty())) {
    return Fail(ErrorCode::kUnsupported, "holds its values in several fields");
  }
  const std::uint64_t held = range != nullptr ? range->size
                             : content        ? proto.tensor_content().size()
                                              : TypedValues(proto, *tensor.dtype).size();
  const bool whole = held % size == 0;
  if (!whole || (content ? held != bytes : held > bytes))
    return Fail(Lying(std::to_string(held) + " bytes of values", tensor.shape));
  return tensor;
}

Result<std::unique_ptr<TensorStream>> StreamGraphTensor(std::shared_ptr<const TfGraphRecord> record,
                                                        const TensorProto& proto,
                                                        const Limits& limits, std::string tensor) {
  const auto described = DescribeGraphTensor(*record, proto, limits);
  if (!described) return Fail(Named(described.error(), *record, tensor));
  const std::uint64_t count = described->shape.element_count();
  if (described->dtype->dtype == Dtype::kString) {
    auto strings = ExplicitStrings(*record, proto, count, limits);
    if (!strings) return Fail(Named(strings.error(), *record, tensor));
    std::string bytes;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string string = strings->empty()
                                     ? std::string()
                                     : (*strings)[static_cast<std::size_t>(
                                           std::min<std::uint64_t>(i, strings->size() - 1))];
      AppendWord(&bytes, std::uint64_t{string.size()});
      bytes += string;
    }
    return std::unique_ptr<TensorStream>(std::make_unique<MemoryStream>(std::move(bytes)));
  }
  if (described->dtype->stored_bytes == 0) {
    return Fail(Named(
        Error{ErrorCode::kUnsupported, "cannot be read: TensorFlow alone knows what is in a " +
                                           std::string(Name(described->dtype->dtype))},
        *record, tensor));
  }
  const LeftValue* const range = LeftInFile(*record, proto);
  std::string held;
  if (range == nullptr) {
    held = proto.tensor_content().empty() ? TypedValues(proto, *described->dtype)
                                          : proto.tensor_content();
  }
  return std::unique_ptr<TensorStream>(std::make_unique<ElementsStream>(
      std::move(record), *described->dtype, count, std::move(held), range, std::move(tensor)));
}

Result<OpConstant> ReadGraphTensor(const std::shared_ptr<const TfGraphRecord>& record,
                                   const TensorProto& proto, const Limits& limits,
                                   const std::string& tensor) {
  const auto described = DescribeGraphTensor(*record, proto, limits);
  if (!described) return Fail(Named(described.error(), *record, tensor));
  OpConstant constant{described->dtype->dtype, described->shape};
  if (constant.dtype == Dtype::kString) {
    const std::uint64_t count = described->shape.element_count();
    auto strings = ExplicitStrings(*record, proto, count, limits);
    if (!strings) return Fail(Named(strings.error(), *record, tensor));
    constant.strings = *std::move(strings);
    const std::string last = constant.strings.empty() ? "" : constant.strings.back();
    constant.strings.resize(static_cast<std::size_t>(count), last);
    return constant;
  }
  if (described->dtype->stored_bytes == 0) return constant;
  CKPT_ASSIGN_OR_RETURN(const auto stream, StreamGraphTensor(record, proto, limits, tensor));
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) return constant;
    constant.bytes.insert(constant.bytes.end(), chunk.begin(), chunk.end());
  }
}

}  // namespace ckpt::formats
