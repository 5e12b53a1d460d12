#include "formats/tf_graph/graph_skeleton.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace ckpt::formats {
namespace {

constexpr unsigned kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;
constexpr std::uint32_t kContentField = 4, kFloatField = 5, kDoubleField = 6;
constexpr std::uint32_t kLeftInFileField = 536870911;
// The tag of that field, which small messages are searched for.
constexpr std::string_view kLeftInFileTag = "\xf8\xff\xff\xff\x0f";

// The messages on the way to the tensors of a graph's operations.
enum class Level : std::uint8_t {
  kSavedModel,
  kMetaGraph,
  kGraph,
  kLibrary,
  kFunction,
  kNode,
  kAttrEntry,
  kAttrValue,
  kTensor,
};
struct Step {
  Level from;
  std::uint32_t field;
  Level to;
};
constexpr std::array<Step, 9> kSteps = {{
    {Level::kSavedModel, 2, Level::kMetaGraph},
    {Level::kMetaGraph, 2, Level::kGraph},
    {Level::kGraph, 1, Level::kNode},
    {Level::kGraph, 2, Level::kLibrary},
    {Level::kLibrary, 1, Level::kFunction},
    {Level::kFunction, 3, Level::kNode},
    {Level::kNode, 5, Level::kAttrEntry},
    {Level::kAttrEntry, 2, Level::kAttrValue},
    {Level::kAttrValue, 8, Level::kTensor},
}};

std::optional<Level> Below(Level level, std::uint32_t field) {
  for (const Step& step : kSteps) {
    if (step.from == level && step.field == field) return step.to;
  }
  return std::nullopt;
}

void AppendVarint(std::string* out, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) out->push_back(static_cast<char>((value & 0x7f) | 0x80));
  out->push_back(static_cast<char>(value));
}

class SkeletonReader {
 public:
  SkeletonReader(const RandomAccessFile& file, const Limits& limits)
      : file_(file), max_bytes_(limits.metadata_bytes) {}

  Result<GraphSkeleton> Read(Level level) {
    CKPT_RETURN_IF_ERROR(Message(level, file_.size(), &skeleton_.bytes));
    return std::move(skeleton_);
  }

 private:
  static constexpr std::size_t kWindowBytes = std::size_t{256} << 10;

  Error Malformed(std::string message) const {
    return Error{ErrorCode::kCorrupt, std::move(message)}.In(file_.path()).At(position_);
  }

  Status Fill() {
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(kWindowBytes, file_.size() - position_));
    window_.resize(size);
    window_begin_ = position_;
    return file_.ReadAt(position_, std::as_writable_bytes(std::span(window_)));
  }
  // The bytes of the window from the position on; empty at the end of the file.
  Result<std::string_view> Window() {
    if (position_ < window_begin_ || position_ >= window_begin_ + window_.size()) {
      if (position_ == file_.size()) return std::string_view();
      CKPT_RETURN_IF_ERROR(Fill());
    }
    return std::string_view(window_).substr(static_cast<std::size_t>(position_ - window_begin_));
  }

  Result<std::uint64_t> Varint(std::uint64_t end) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
      if (position_ >= end) return Fail(Malformed("a number is cut short"));
      CKPT_ASSIGN_OR_RETURN(const std::string_view window, Window());
      const auto byte = static_cast<unsigned char>(window.front());
      ++position_;
      if (shift < 64) value |= std::uint64_t{byte & 0x7fu} << shift;
      if (byte < 0x80) return value;
    }
    return Fail(Malformed("a number has more than ten bytes"));
  }

  Status Append(std::uint64_t size, std::string* out) {
    CKPT_RETURN_IF_ERROR(Spend(size));
    while (size > 0) {
      CKPT_ASSIGN_OR_RETURN(const std::string_view window, Window());
      const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(size, window.size()));
      out->append(window.substr(0, taken));
      position_ += taken;
      size -= taken;
    }
    return {};
  }

  Status Spend(std::uint64_t size) {
    if (size > max_bytes_ - held_) {
      return Fail(Error{ErrorCode::kLimitExceeded, "the graph without its weights is larger than " +
                                                       std::to_string(max_bytes_) + " bytes"}
                      .In(file_.path())
                      .At(position_));
    }
    held_ += size;
    return {};
  }

  Status Message(Level level, std::uint64_t end, std::string* out) {
    bool left = false;
    while (position_ < end) {
      CKPT_ASSIGN_OR_RETURN(const std::uint64_t tag, Varint(end));
      const std::uint64_t field = tag >> 3;
      if (field == 0 || field > kLeftInFileField) return Fail(Malformed("is no protobuf message"));
      const bool reserved = level == Level::kTensor && field == kLeftInFileField;
      if (!reserved) AppendVarint(out, tag);
      switch (tag & 7) {
        case kVarint: {
          CKPT_ASSIGN_OR_RETURN(const std::uint64_t value, Varint(end));
          if (!reserved) AppendVarint(out, value);
          break;
        }
        case kFixed32:
        case kFixed64: {
          const std::uint64_t size = (tag & 7) == kFixed32 ? 4 : 8;
          if (size > end - position_) return Fail(Malformed("a field is cut short"));
          std::string dropped;
          CKPT_RETURN_IF_ERROR(Append(size, reserved ? &dropped : out));
          break;
        }
        case kBytes:
          CKPT_RETURN_IF_ERROR(
              Bytes(level, static_cast<std::uint32_t>(field), end, reserved, &left, out));
          break;
        default:
          return Fail(Malformed("is no protobuf message"));
      }
    }
    return {};
  }

  // A field of bytes, whose tag was written.
  Status Bytes(Level level, std::uint32_t field, std::uint64_t end, bool reserved, bool* left,
               std::string* out) {
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t size, Varint(end));
    if (size > end - position_) {
      return Fail(Malformed("a field of " + std::to_string(size) + " bytes is cut short: " +
                            std::to_string(end - position_) + " are left"));
    }
    if (reserved) {
      position_ += size;
      return {};
    }
    if (level == Level::kTensor && size > kLeaveInFileBytes &&
        (field == kContentField || field == kFloatField || field == kDoubleField)) {
      if (std::exchange(*left, true)) {
        return Fail(Error{ErrorCode::kUnsupported, "the values of a tensor are in several parts"}
                        .In(file_.path())
                        .At(position_));
      }
      // An empty field is what is left of it.
      AppendVarint(out, 0);
      AppendVarint(out, std::uint64_t{kLeftInFileField} << 3);
      skeleton_.left.push_back({position_, size, field == kContentField});
      AppendVarint(out, skeleton_.left.size());
      position_ += size;
      return Spend(sizeof(LeftValue));
    }
    const std::optional<Level> below = Below(level, field);
    if (below && size > kLeaveInFileBytes) return Inner(*below, size, out);
    if (!below) {
      AppendVarint(out, size);
      return Append(size, out);
    }
    std::string small;
    const std::uint64_t begin = position_;
    CKPT_RETURN_IF_ERROR(Append(size, &small));
    if (small.find(kLeftInFileTag) != std::string::npos) {
      position_ = begin;
      return Inner(*below, size, out);
    }
    AppendVarint(out, size);
    out->append(small);
    return {};
  }

  Status Inner(Level level, std::uint64_t size, std::string* out) {
    std::string inner;
    CKPT_RETURN_IF_ERROR(Message(level, position_ + size, &inner));
    AppendVarint(out, inner.size());
    out->append(inner);
    return {};
  }

  const RandomAccessFile& file_;
  const std::uint64_t max_bytes_;
  GraphSkeleton skeleton_;
  std::string window_;
  std::uint64_t window_begin_ = 0, position_ = 0, held_ = 0;
};

Level TopLevel(OpGraphKind kind) {
  switch (kind) {
    case OpGraphKind::kGraphDef:
      return Level::kGraph;
    case OpGraphKind::kMetaGraph:
      return Level::kMetaGraph;
    case OpGraphKind::kSavedModel:
      return Level::kSavedModel;
  }
  return Level::kGraph;
}

}  // namespace

Result<GraphSkeleton> ReadGraphSkeleton(const RandomAccessFile& file, OpGraphKind kind,
                                        const Limits& limits) {
  return SkeletonReader(file, limits).Read(TopLevel(kind));
}

}  // namespace ckpt::formats
