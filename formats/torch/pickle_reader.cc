#include "formats/torch/pickle_reader.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <unordered_map>
#include <utility>

#include "formats/torch/pickle_text.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kMaxLine = std::uint64_t{1} << 20;
constexpr std::uint64_t kMaxBigInt = 1024;  // bytes of one integer
constexpr std::uint64_t kMemoEntryBytes = 48;
constexpr std::uint64_t kStackEntryBytes = 3 * sizeof(PickleId);  // while it grows
constexpr std::uint8_t kHighestProtocol = 5;

// pickletools.py of CPython has the meaning of each.
enum Opcode : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kFloatText = 'F',
  kIntText = 'I',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kLongText = 'L',
  kBinInt2 = 'M',
  kNone = 'N',
  kPersId = 'P',
  kBinPersId = 'Q',
  kReduce = 'R',
  kString = 'S',
  kBinString = 'T',
  kShortBinString = 'U',
  kUnicode = 'V',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kEmptyDict = '}',
  kAppends = 'e',
  kGet = 'g',
  kBinGet = 'h',
  kInst = 'i',
  kLongBinGet = 'j',
  kList = 'l',
  kEmptyList = ']',
  kObj = 'o',
  kPut = 'p',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kEmptyTuple = ')',
  kSetItems = 'u',
  kBinFloat = 'G',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kProto = 0x80,
  kNewObj = 0x81,
  kExt1 = 0x82,
  kExt2 = 0x83,
  kExt4 = 0x84,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kEmptySet = 0x8f,
  kAddItems = 0x90,
  kFrozenSet = 0x91,
  kNewObjEx = 0x92,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
  kByteArray8 = 0x96,
  kNextBuffer = 0x97,
  kReadOnlyBuffer = 0x98,
};

class Machine {
 public:
  Machine(PickleInput& input, PickleGraph& graph, const PickleLimits& limits)
      : input_(input),
        graph_(graph),
        limits_(limits),
        start_(input.offset()),
        before_(graph.bytes()) {}

  Result<PickleId> Run() {
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const std::uint8_t opcode, input_.Byte());
      if (opcode == kStop) return Finish();
      CKPT_RETURN_IF_ERROR(Step(opcode));
      const std::uint64_t held = graph_.bytes() - before_ + stack_.size() * kStackEntryBytes +
                                 memo_.size() * kMemoEntryBytes;
      if (held > limits_.memory && held > Allowed()) return TooMuch();
    }
  }

 private:
  std::uint64_t Allowed() const {
    const std::uint64_t read = std::min(input_.offset() - start_, limits_.justified_bytes);
    return limits_.memory + limits_.memory_per_byte * read;
  }

  tl::unexpected<Error> TooMuch() const {
    auto failed = input_.Fail(
        ErrorCode::kLimitExceeded,
        "the pickle builds more than " + std::to_string(Allowed() >> 20) + " MiB of objects");
    failed.value().remedy = Remedy::kMoreMemory;
    return failed;
  }

  using Items = std::vector<PickleId>;

  tl::unexpected<Error> Corrupt(std::string message) const {
    return input_.Fail(ErrorCode::kCorrupt, "the pickle " + std::move(message));
  }

  Result<PickleId> Finish() {
    if (!marks_.empty()) return Corrupt("stops with a mark left open");
    if (stack_.size() != 1) {
      return Corrupt("stops with " + std::to_string(stack_.size()) + " values where one is due");
    }
    return stack_.back();
  }

  Status Step(std::uint8_t opcode) {
    switch (opcode) {
      case kProto:
      case kFrame:
      case kExt1:
      case kExt2:
      case kExt4:
      case kNextBuffer:
      case kReadOnlyBuffer:
        return Framing(opcode);
      case kMark:
        marks_.push_back(stack_.size());
        graph_.Charge(3 * sizeof(std::size_t));
        return {};
      case kPop:
      case kPopMark:
      case kDup:
        return Shuffle(opcode);
      case kGet:
      case kBinGet:
      case kLongBinGet:
      case kPut:
      case kBinPut:
      case kLongBinPut:
      case kMemoize:
        return Memo(opcode);
      case kAppend:
      case kAppends:
      case kAddItems:
      case kSetItem:
      case kSetItems:
        return Fill(opcode);
      case kTuple:
      case kTuple1:
      case kTuple2:
      case kTuple3:
      case kEmptyTuple:
      case kList:
      case kEmptyList:
      case kDict:
      case kEmptyDict:
      case kEmptySet:
      case kFrozenSet:
        return Container(opcode);
      case kGlobal:
      case kStackGlobal:
      case kPersId:
      case kBinPersId:
      case kReduce:
      case kNewObj:
      case kNewObjEx:
      case kInst:
      case kObj:
      case kBuild:
        return Object(opcode);
      default:
        return Scalar(opcode);
    }
  }

  Status Framing(std::uint8_t opcode) {
    if (opcode == kProto) {
      CKPT_ASSIGN_OR_RETURN(const std::uint8_t protocol, input_.Byte());
      if (protocol <= kHighestProtocol) return {};
      return input_.Fail(ErrorCode::kUnsupported,
                         "the pickle is of protocol " + std::to_string(protocol));
    }
    if (opcode == kFrame) {
      CKPT_ASSIGN_OR_RETURN(const std::uint64_t size, input_.Unsigned(8));
      if (size > input_.remaining()) return Corrupt("has a frame longer than what is left");
      if (input_.offset() < frame_end_) return Corrupt("has a frame inside a frame");
      frame_end_ = input_.offset() + size;
      return {};
    }
    const bool extension = opcode != kNextBuffer && opcode != kReadOnlyBuffer;
    return input_.Fail(ErrorCode::kUnsupported,
                       extension ? "the pickle uses codes of a registry outside the file"
                                 : "the pickle uses buffers that are not in the file");
  }

  // The lowest place on the stack that an opcode may take from.
  std::size_t Floor() const { return marks_.empty() ? 0 : marks_.back(); }

  Result<PickleId> Pop() {
    if (stack_.size() <= Floor()) return Corrupt("takes a value that is not there");
    const PickleId top = stack_.back();
    stack_.pop_back();
    return top;
  }
  Result<PickleId> Top() const {
    if (stack_.size() <= Floor()) return Corrupt("uses a value that is not there");
    return stack_.back();
  }
  Result<Items> PopMark() {
    if (marks_.empty()) return Corrupt("takes values up to a mark that is not there");
    const std::size_t mark = marks_.back();
    marks_.pop_back();
    Items items(stack_.begin() + static_cast<std::ptrdiff_t>(mark), stack_.end());
    stack_.resize(mark);
    return items;
  }
  Status Push(PickleId id) {
    stack_.push_back(id);
    return {};
  }

  Status Shuffle(std::uint8_t opcode) {
    if (opcode == kDup) {
      CKPT_ASSIGN_OR_RETURN(const PickleId top, Top());
      return Push(top);
    }
    // POP also takes a mark away that lies on top.
    if (opcode == kPopMark || (!marks_.empty() && stack_.size() == marks_.back())) {
      const auto dropped = PopMark();
      return dropped ? Status() : Fail(dropped);
    }
    const auto dropped = Pop();
    return dropped ? Status() : Fail(dropped);
  }

  Result<std::uint64_t> MemoIndex(std::uint8_t opcode) {
    if (opcode == kBinGet || opcode == kBinPut) return input_.Unsigned(1);
    if (opcode == kLongBinGet || opcode == kLongBinPut) return input_.Unsigned(4);
    if (opcode == kMemoize) return std::uint64_t{memo_.size()};
    CKPT_ASSIGN_OR_RETURN(const std::string line, input_.Line(kMaxLine));
    const auto index = ParseDecimal(line);
    if (!index || *index < 0) return Corrupt("has a memo index that is no number");
    return static_cast<std::uint64_t>(*index);
  }

  Status Memo(std::uint8_t opcode) {
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t index, MemoIndex(opcode));
    if (opcode == kGet || opcode == kBinGet || opcode == kLongBinGet) {
      const auto found = memo_.find(index);
      if (found == memo_.end()) {
        return Corrupt("reads memo entry " + std::to_string(index) + ", which was never written");
      }
      return Push(found->second);
    }
    CKPT_ASSIGN_OR_RETURN(memo_[index], Top());
    return {};
  }

  Status Fill(std::uint8_t opcode) {
    Items items;
    if (opcode == kAppend || opcode == kSetItem) {
      CKPT_ASSIGN_OR_RETURN(const PickleId last, Pop());
      if (opcode == kSetItem) {
        CKPT_ASSIGN_OR_RETURN(const PickleId key, Pop());
        items.push_back(key);
      }
      items.push_back(last);
    } else {
      CKPT_ASSIGN_OR_RETURN(items, PopMark());
    }
    CKPT_ASSIGN_OR_RETURN(const PickleId target, Top());
    const bool pairs = opcode == kSetItem || opcode == kSetItems;
    if (pairs && items.size() % 2 != 0) return Corrupt("sets a key without a value");
    const PickleKind kind = graph_.kind(target);
    const PickleKind fitting = pairs                 ? PickleKind::kDict
                               : opcode == kAddItems ? PickleKind::kSet
                                                     : PickleKind::kList;
    if (kind == fitting) {
      for (const PickleId item : items) graph_.Append(target, item);
      return {};
    }
    if (kind != PickleKind::kObject) return Corrupt("puts items into what is no container");
    if (pairs) {
      graph_.AddPairs(target, items);
    } else {
      graph_.AppendTo(target, items);
    }
    return {};
  }

  Status Container(std::uint8_t opcode) {
    switch (opcode) {
      case kEmptyTuple:
        return Push(graph_.AddItems(PickleKind::kTuple, {}));
      case kEmptyList:
        return Push(graph_.AddItems(PickleKind::kList, {}));
      case kEmptyDict:
        return Push(graph_.AddItems(PickleKind::kDict, {}));
      case kEmptySet:
        return Push(graph_.AddItems(PickleKind::kSet, {}));
      case kTuple1:
      case kTuple2:
      case kTuple3: {
        Items items(static_cast<std::size_t>(opcode - kTuple1) + 1);
        for (auto item = items.rbegin(); item != items.rend(); ++item) {
          CKPT_ASSIGN_OR_RETURN(*item, Pop());
        }
        return Push(graph_.AddItems(PickleKind::kTuple, std::move(items)));
      }
      default:
        break;
    }
    CKPT_ASSIGN_OR_RETURN(Items items, PopMark());
    if (opcode == kDict && items.size() % 2 != 0) return Corrupt("sets a key without a value");
    const PickleKind kind = opcode == kTuple  ? PickleKind::kTuple
                            : opcode == kList ? PickleKind::kList
                            : opcode == kDict ? PickleKind::kDict
                                              : PickleKind::kSet;
    return Push(graph_.AddItems(kind, std::move(items)));
  }

  Status Object(std::uint8_t opcode) {
    switch (opcode) {
      case kGlobal: {
        CKPT_ASSIGN_OR_RETURN(const PickleId global, GlobalFromLines());
        return Push(global);
      }
      case kStackGlobal: {
        CKPT_ASSIGN_OR_RETURN(const PickleId name, Pop());
        CKPT_ASSIGN_OR_RETURN(const PickleId module, Pop());
        if (graph_.kind(name) != PickleKind::kText || graph_.kind(module) != PickleKind::kText) {
          return Corrupt("names a class by what is no text");
        }
        return Push(graph_.AddGlobal(graph_.text(module), graph_.text(name)));
      }
      case kPersId: {
        CKPT_ASSIGN_OR_RETURN(std::string line, input_.Line(kMaxLine));
        const PickleId id = graph_.AddText(PickleKind::kText, std::move(line));
        return Push(graph_.AddItems(PickleKind::kPersistent, {id}));
      }
      case kBinPersId: {
        CKPT_ASSIGN_OR_RETURN(const PickleId id, Pop());
        return Push(graph_.AddItems(PickleKind::kPersistent, {id}));
      }
      case kBuild: {
        CKPT_ASSIGN_OR_RETURN(const PickleId state, Pop());
        CKPT_ASSIGN_OR_RETURN(const PickleId target, Top());
        if (graph_.kind(target) != PickleKind::kObject) {
          return Corrupt("sets attributes of what has none");
        }
        graph_.AddState(target, state);
        return {};
      }
      default:
        return Call(opcode);
    }
  }

  Status Call(std::uint8_t opcode) {
    PickleId callable = 0, arguments = 0;
    if (opcode == kInst || opcode == kObj) {
      if (opcode == kInst) {
        CKPT_ASSIGN_OR_RETURN(callable, GlobalFromLines());
      }
      CKPT_ASSIGN_OR_RETURN(Items items, PopMark());
      if (opcode == kObj) {
        if (items.empty()) return Corrupt("calls a class that is not there");
        callable = items.front();
        items.erase(items.begin());
      }
      arguments = graph_.AddItems(PickleKind::kTuple, std::move(items));
    } else {
      if (opcode == kNewObjEx) {
        CKPT_ASSIGN_OR_RETURN(const PickleId keywords, Pop());
        if (graph_.kind(keywords) != PickleKind::kDict) {
          return Corrupt("calls with keywords that are no dict");
        }
      }
      CKPT_ASSIGN_OR_RETURN(arguments, Pop());
      CKPT_ASSIGN_OR_RETURN(callable, Pop());
      if (graph_.kind(arguments) != PickleKind::kTuple) {
        return Corrupt("calls with arguments that are no tuple");
      }
    }
    const PickleKind kind = graph_.kind(callable);
    const bool may_be_called = kind == PickleKind::kGlobal || kind == PickleKind::kObject ||
                               kind == PickleKind::kPersistent;
    if (!may_be_called) return Corrupt("calls what is neither class nor function");
    return Push(graph_.AddObject(callable, arguments));
  }

  Result<PickleId> GlobalFromLines() {
    CKPT_ASSIGN_OR_RETURN(const std::string module, input_.Line(kMaxLine));
    CKPT_ASSIGN_OR_RETURN(const std::string name, input_.Line(kMaxLine));
    return graph_.AddGlobal(module, name);
  }

  Status Scalar(std::uint8_t opcode) {
    switch (opcode) {
      case kNone:
        return Push(graph_.AddNone());
      case kNewTrue:
        return Push(graph_.AddBool(true));
      case kNewFalse:
        return Push(graph_.AddBool(false));
      case kBinInt1:
        return Number(1);
      case kBinInt2:
        return Number(2);
      case kBinInt: {
        CKPT_ASSIGN_OR_RETURN(const std::uint64_t bits, input_.Unsigned(4));
        return Push(graph_.AddInt(static_cast<std::int32_t>(static_cast<std::uint32_t>(bits))));
      }
      case kLong1:
        return Long(1);
      case kLong4:
        return Long(4);
      case kBinFloat: {
        CKPT_ASSIGN_OR_RETURN(const std::string bytes, input_.Take(8));
        std::uint64_t bits = 0;
        for (const char byte : bytes) bits = (bits << 8) | static_cast<std::uint8_t>(byte);
        return Push(graph_.AddFloat(std::bit_cast<double>(bits)));
      }
      case kBinString:
        return Text(PickleKind::kText, 4);
      case kShortBinString:
      case kShortBinUnicode:
        return Text(PickleKind::kText, 1);
      case kBinUnicode:
        return Text(PickleKind::kText, 4);
      case kBinUnicode8:
        return Text(PickleKind::kText, 8);
      case kShortBinBytes:
        return Text(PickleKind::kBytes, 1);
      case kBinBytes:
        return Text(PickleKind::kBytes, 4);
      case kBinBytes8:
      case kByteArray8:
        return Text(PickleKind::kBytes, 8);
      case kIntText:
      case kLongText:
      case kFloatText:
      case kString:
      case kUnicode:
        return TextOperand(opcode);
      default:
        return Corrupt("has the byte " + std::to_string(opcode) + " where an opcode is due");
    }
  }

  Status Number(unsigned bytes) {
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t value, input_.Unsigned(bytes));
    return Push(graph_.AddInt(static_cast<std::int64_t>(value)));
  }

  Status Long(unsigned length_bytes) {
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t size, input_.Unsigned(length_bytes));
    if (size > kMaxBigInt) {
      return input_.Fail(ErrorCode::kLimitExceeded,
                         "the pickle has an integer of " + std::to_string(size) + " bytes");
    }
    CKPT_ASSIGN_OR_RETURN(std::string bytes, input_.Take(size));
    if (size > 8) return Push(graph_.AddText(PickleKind::kBigInt, std::move(bytes)));
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < bytes.size(); ++i) {
      value |= std::uint64_t{static_cast<std::uint8_t>(bytes[i])} << (8 * i);
    }
    const bool negative = !bytes.empty() && static_cast<std::uint8_t>(bytes.back()) >= 0x80;
    if (negative && size < 8) value |= ~std::uint64_t{0} << (8 * size);
    return Push(graph_.AddInt(static_cast<std::int64_t>(value)));
  }

  Status Text(PickleKind kind, unsigned length_bytes) {
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t size, input_.Unsigned(length_bytes));
    if (size > limits_.text_bytes && size <= input_.remaining()) {
      return input_.Fail(ErrorCode::kLimitExceeded,
                         "the pickle has a string of " + std::to_string(size) + " bytes");
    }
    CKPT_ASSIGN_OR_RETURN(std::string text, input_.Take(size));
    return Push(graph_.AddText(kind, std::move(text)));
  }

  Status TextOperand(std::uint8_t opcode) {
    CKPT_ASSIGN_OR_RETURN(std::string line, input_.Line(kMaxLine));
    if (opcode == kFloatText) {
      const auto real = ParseReal(line);
      if (!real) return Corrupt("has a float that is none");
      return Push(graph_.AddFloat(*real));
    }
    if (opcode == kString || opcode == kUnicode) {
      auto text = opcode == kString ? ParseStringLiteral(line) : ParseRawUnicode(line);
      if (!text) return Corrupt("has a string that is not well formed");
      return Push(graph_.AddText(PickleKind::kText, *std::move(text)));
    }
    if (opcode == kIntText && (line == "00" || line == "01")) {
      return Push(graph_.AddBool(line == "01"));
    }
    if (opcode == kLongText && line.ends_with('L')) line.pop_back();
    const auto number = ParseDecimal(line);
    if (!number) return Corrupt("has an integer that is none, or too large");
    return Push(graph_.AddInt(*number));
  }

  PickleInput& input_;
  PickleGraph& graph_;
  const PickleLimits& limits_;
  const std::uint64_t start_, before_;  // of the input; of the graph's memory
  std::vector<PickleId> stack_;
  std::vector<std::size_t> marks_;
  std::unordered_map<std::uint64_t, PickleId> memo_;
  std::uint64_t frame_end_ = 0;
};

}  // namespace

Result<PickleId> ReadPickle(PickleInput& input, PickleGraph& graph, const PickleLimits& limits) {
  return Machine(input, graph, limits).Run();
}

}  // namespace ckpt::formats
