#include "formats/caffe/net_parameter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "formats/container/file_cursor.h"
#include "formats/encoding/byte_reader.h"

namespace ckpt::formats {
namespace {

constexpr unsigned kVarint = 0, kFixed64 = 1, kDelimited = 2, kFixed32 = 5;
constexpr std::uint64_t kMaxAttributeBytes = 65536, kMaxAttributes = 4096;
constexpr std::uint32_t kMostAttribute = 31;  // the numbers of fields that are looked at

struct FieldHead {
  std::uint32_t number = 0;
  unsigned wire = 0;
  std::uint64_t value = 0;  // of a varint or fixed field
  std::uint64_t end = 0;    // of a delimited one, in the file
};

// The next field of the message that the cursor walks; delimited content stays to be read.
FieldHead NextField(FileCursor& cursor) {
  FieldHead field;
  const std::uint64_t tag = cursor.Varint64();
  field.number = static_cast<std::uint32_t>(tag >> 3U);
  field.wire = static_cast<unsigned>(tag & 7U);
  switch (field.wire) {
    case kVarint:
      field.value = cursor.Varint64();
      break;
    case kFixed64:
      field.value = cursor.Little(8);
      break;
    case kFixed32:
      field.value = cursor.Little(4);
      break;
    case kDelimited: {
      const std::uint64_t size = cursor.Varint64();
      if (cursor.ok() && size > cursor.remaining()) {
        cursor.Fail(ErrorCode::kCorrupt, "a field claims " + std::to_string(size) +
                                             " bytes where " + std::to_string(cursor.remaining()) +
                                             " follow");
      }
      field.end = cursor.offset() + size;
      break;
    }
    default:
      cursor.Fail(ErrorCode::kCorrupt, "is not a NetParameter message");
  }
  if (field.number == 0 || tag > UINT32_MAX) {
    cursor.Fail(ErrorCode::kCorrupt, "is not a NetParameter message");
  }
  return field;
}

void SkipTo(FileCursor& cursor, const FieldHead& field) {
  if (field.wire == kDelimited && cursor.ok()) cursor.Skip(field.end - cursor.offset());
}

// Types of V1LayerParameter that are understood.
std::string OldTypeName(std::uint64_t type) {
  switch (type) {
    case 3:
      return "Concat";
    case 4:
      return "Convolution";
    case 5:
      return "Data";
    case 6:
      return "Dropout";
    case 14:
      return "InnerProduct";
    case 15:
      return "LRN";
    case 17:
      return "Pooling";
    case 18:
      return "ReLU";
    case 20:
      return "Softmax";
    case 22:
      return "Split";
    case 25:
      return "Eltwise";
    case 39:
      return "Deconvolution";
    default:
      return "V1 type " + std::to_string(type);
  }
}

class NetReader {
 public:
  NetReader(const RandomAccessFile& file, const Limits& limits) : file_(file), limits_(limits) {}

  Result<std::vector<CaffeLayer>> Read() {
    FileCursor cursor(file_);
    while (cursor.ok() && cursor.remaining() > 0) {
      const FieldHead field = NextField(cursor);
      constexpr std::uint32_t kLayers = 2, kLayer = 100;
      if (cursor.ok() && field.wire == kDelimited &&
          (field.number == kLayers || field.number == kLayer)) {
        CKPT_RETURN_IF_ERROR(ReadLayer(cursor.offset(), field.end, field.number == kLayers));
      }
      SkipTo(cursor, field);
    }
    CKPT_RETURN_IF_ERROR(cursor.status());
    if (layers_.empty()) {
      return Fail(Error{ErrorCode::kCorrupt, "has no layers"}.In(file_.path()).At(0));
    }
    return std::move(layers_);
  }

 private:
  // Numbers of the fields that the two forms have under different ones.
  struct Numbers {
    std::uint32_t name, type, bottom, top, blobs, include, exclude;
    std::map<std::uint32_t, std::uint32_t> params;  // to those of LayerParameter
  };

  static const Numbers& NumbersOf(bool old) {
    static const Numbers kNew{1,
                              2,
                              3,
                              4,
                              7,
                              8,
                              9,
                              {{kConvolutionParam, kConvolutionParam},
                               {kInnerProductParam, kInnerProductParam},
                               {kBatchNormParam, kBatchNormParam},
                               {kScaleParam, kScaleParam},
                               {kEltwiseParam, kEltwiseParam},
                               {kConcatParam, kConcatParam},
                               {kLrnParam, kLrnParam},
                               {kPoolingParam, kPoolingParam},
                               {kPowerParam, kPowerParam},
                               {kReluParam, kReluParam},
                               {kSoftmaxParam, kSoftmaxParam},
                               {kSliceParam, kSliceParam},
                               {kReshapeParam, kReshapeParam},
                               {kFlattenParam, kFlattenParam},
                               {kEluParam, kEluParam},
                               {kBiasParam, kBiasParam},
                               {kInputParam, kInputParam},
                               {kPermuteParam, kPermuteParam}}};
    static const Numbers kOld{4,
                              5,
                              2,
                              3,
                              6,
                              32,
                              33,
                              {{10, kConvolutionParam},
                               {17, kInnerProductParam},
                               {24, kEltwiseParam},
                               {9, kConcatParam},
                               {18, kLrnParam},
                               {19, kPoolingParam},
                               {21, kPowerParam},
                               {30, kReluParam},
                               {31, kSliceParam},
                               {39, kSoftmaxParam}}};
    return old ? kOld : kNew;
  }

  // What a layer's rules say of a net in its test phase: one include rule that is met is enough.
  struct TestRules {
    bool has_include = false, may_be_included = false, is_excluded = false;
  };

  Status ReadLayer(std::uint64_t begin, std::uint64_t end, bool old) {
    if (layers_.size() >= limits_.tensors) {
      return Fail(
          Error{ErrorCode::kLimitExceeded, "has too many layers"}.In(file_.path()).At(begin));
    }
    const Numbers& numbers = NumbersOf(old);
    FileCursor cursor(file_, begin, end);
    CaffeLayer layer;
    layer.offset = begin;
    TestRules rules;
    while (cursor.ok() && cursor.remaining() > 0) {
      const FieldHead field = NextField(cursor);
      if (!cursor.ok()) break;
      if (field.wire == kDelimited) {
        CKPT_RETURN_IF_ERROR(ReadField(cursor, field, numbers, old, layer, rules));
      } else if (old && field.number == numbers.type) {
        layer.type = OldTypeName(field.value);
      }
      SkipTo(cursor, field);
    }
    CKPT_RETURN_IF_ERROR(cursor.status());
    layer.train_only = rules.is_excluded || (rules.has_include && !rules.may_be_included);
    layers_.push_back(std::move(layer));
    return {};
  }

  Status ReadField(FileCursor& cursor, const FieldHead& field, const Numbers& numbers, bool old,
                   CaffeLayer& layer, TestRules& rules) {
    const std::uint64_t size = field.end - cursor.offset();
    if (field.number == numbers.name) {
      layer.name = cursor.Text(size, limits_.name_bytes);
    } else if (!old && field.number == numbers.type) {
      layer.type = cursor.Text(size, limits_.name_bytes);
    } else if (field.number == numbers.bottom) {
      layer.bottoms.push_back(cursor.Text(size, limits_.name_bytes));
    } else if (field.number == numbers.top) {
      layer.tops.push_back(cursor.Text(size, limits_.name_bytes));
    } else if (field.number == numbers.blobs) {
      CKPT_ASSIGN_OR_RETURN(CaffeBlob blob, ReadBlob(cursor.offset(), field.end, layer.name));
      layer.blobs.push_back(std::move(blob));
    } else if (field.number == numbers.include) {
      const Rule rule = ReadRule(cursor.offset(), field.end);
      rules.may_be_included = rules.may_be_included || rule.phase.value_or(kTest) == kTest;
      rules.has_include = true;
    } else if (field.number == numbers.exclude) {
      const Rule rule = ReadRule(cursor.offset(), field.end);
      rules.is_excluded = rules.is_excluded || (rule.phase == kTest && !rule.has_more);
    } else if (old && field.number == 1) {
      return Fail(Error{ErrorCode::kUnsupported,
                        "is of Caffe's oldest form, V0; upgrade_net_proto_binary brings it up to "
                        "date",
                        file_.path(),
                        cursor.offset(),
                        {}});
    } else if (const auto param = numbers.params.find(field.number);
               param != numbers.params.end()) {
      ReadAttributes(cursor.offset(), field.end, param->second, layer.attributes);
    }
    return {};
  }

  // include { phase: TRAIN } or exclude { phase: TEST }. LayerParameter's own phase is no rule:
  // Caffe writes there the phase of the net that it took the snapshot of, TRAIN in each layer.
  struct Rule {
    std::optional<std::uint64_t> phase;
    bool has_more = false;  // a level or a stage
  };
  static constexpr std::uint64_t kTest = 1;

  Rule ReadRule(std::uint64_t begin, std::uint64_t end) const {
    Rule rule;
    FileCursor cursor(file_, begin, end);
    while (cursor.ok() && cursor.remaining() > 0) {
      const FieldHead field = NextField(cursor);
      if (!cursor.ok()) break;
      if (field.number == 1 && field.wire == kVarint) {
        rule.phase = field.value;
      } else {
        rule.has_more = true;
      }
      SkipTo(cursor, field);
    }
    return rule;
  }

  void ReadAttributes(std::uint64_t begin, std::uint64_t end, std::uint32_t message,
                      CaffeAttributes& attributes) const {
    if (end - begin > kMaxAttributeBytes) return;
    FileCursor cursor(file_, begin, end);
    while (cursor.ok() && cursor.remaining() > 0) {
      const FieldHead field = NextField(cursor);
      if (!cursor.ok()) return;
      if (field.number > kMostAttribute) {
        SkipTo(cursor, field);
        continue;
      }
      auto& values = attributes[{message, field.number}];
      if (values.size() >= kMaxAttributes) return;
      if (field.wire == kVarint) {
        values.push_back(static_cast<double>(static_cast<std::int64_t>(field.value)));
      }
      if (field.wire == kFixed32) {
        values.push_back(
            static_cast<double>(std::bit_cast<float>(static_cast<std::uint32_t>(field.value))));
      }
      const bool shape = message == kReshapeParam || message == kInputParam;
      if (field.wire == kDelimited && field.number == 1 && shape) {
        std::vector<std::int64_t> dims;
        ReadDims(cursor.offset(), field.end, dims);
        values.assign(dims.begin(), dims.end());
      }
      SkipTo(cursor, field);  // fillers and packed lists mean nothing here
    }
  }

  Result<CaffeBlob> ReadBlob(std::uint64_t begin, std::uint64_t end, const std::string& layer) {
    FileCursor cursor(file_, begin, end);
    CaffeBlob blob;
    std::vector<std::int64_t> dims;
    std::array<std::optional<std::int64_t>, 4> legacy;
    bool twice = false;
    while (cursor.ok() && cursor.remaining() > 0) {
      const FieldHead field = NextField(cursor);
      if (!cursor.ok()) break;
      constexpr std::uint32_t kShape = 7, kData = 5, kDoubleData = 8;
      if (field.wire == kVarint && field.number >= 1 && field.number <= 4) {
        legacy[field.number - 1] = static_cast<std::int64_t>(field.value);
      } else if (field.wire == kDelimited && field.number == kShape) {
        ReadDims(cursor.offset(), field.end, dims);
      } else if (field.number == kData || field.number == kDoubleData) {
        twice = twice || blob.size > 0 || field.wire != kDelimited;
        blob.is_double = field.number == kDoubleData;
        blob.offset = cursor.offset();
        blob.size = field.wire == kDelimited ? field.end - cursor.offset() : 0;
      }
      SkipTo(cursor, field);
    }
    CKPT_RETURN_IF_ERROR(cursor.status());
    const auto corrupt = [&](std::string message) {
      return Fail(Error{ErrorCode::kCorrupt,
                        "the layer \"" + layer + "\" has a blob " + message,
                        file_.path(),
                        begin,
                        {}});
    };
    if (twice) return corrupt("whose numbers are not in one piece");
    blob.legacy_shape = legacy[0] || legacy[1] || legacy[2] || legacy[3];
    if (blob.legacy_shape) {
      dims.clear();
      for (const auto& dim : legacy) dims.push_back(dim.value_or(0));
    }
    auto shape = Shape::FromDims(dims);
    if (!shape) return corrupt("whose shape is none: " + shape.error().message);
    blob.shape = *std::move(shape);
    std::uint64_t bytes = 0;
    const std::size_t element = blob.is_double ? sizeof(double) : sizeof(float);
    if (!CheckedMul(blob.shape.element_count(), element, &bytes) || bytes != blob.size) {
      return corrupt("of " + std::to_string(blob.size) + " bytes, which do not hold " +
                     ToString(blob.shape));
    }
    return blob;
  }

  void ReadDims(std::uint64_t begin, std::uint64_t end, std::vector<std::int64_t>& dims) const {
    constexpr std::size_t kMaxDims = 256;  // more are refused with the shape
    FileCursor cursor(file_, begin, end);
    while (cursor.ok() && cursor.remaining() > 0) {
      const FieldHead field = NextField(cursor);
      if (!cursor.ok()) return;
      if (field.number == 1 && field.wire == kVarint && dims.size() < kMaxDims) {
        dims.push_back(static_cast<std::int64_t>(field.value));
      }
      if (field.number == 1 && field.wire == kDelimited) {
        FileCursor packed(file_, cursor.offset(), field.end);
        while (packed.ok() && packed.remaining() > 0 && dims.size() < kMaxDims) {
          const auto dim = static_cast<std::int64_t>(packed.Varint64());
          if (packed.ok()) dims.push_back(dim);
        }
      }
      SkipTo(cursor, field);
    }
  }

  const RandomAccessFile& file_;
  const Limits& limits_;
  std::vector<CaffeLayer> layers_;
};

}  // namespace

Result<std::vector<CaffeLayer>> ReadNetParameter(const RandomAccessFile& file,
                                                 const Limits& limits) {
  return NetReader(file, limits).Read();
}

}  // namespace ckpt::formats
