// What a pickle says, as data: a graph of values in which every class and function is a name and
// nothing is ever called.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ckpt::formats {

enum class PickleKind : std::uint8_t {
  kNone,
  kBool,
  kInt,     // fits 64 bits
  kBigInt,  // little-endian two's complement, as stored
  kFloat,
  kText,  // UTF-8, or the bytes of a Python 2 string
  kBytes,
  kTuple,
  kList,
  kDict,  // items: key, value, key, value...
  kSet,
  kGlobal,      // a class or a function: "module.name"
  kPersistent,  // a reference out of the pickle; its one item is the id
  kObject,      // what a call of a class or function would make
};

// An index into the graph. The same value may be reached on many ways, and from itself.
using PickleId = std::uint32_t;

// The inert record of a call: callable(*arguments), then state set on it, items put into it. Most
// have none of the latter.
class PickleObject {
 public:
  PickleObject(PickleId called, PickleId with) : callable(called), arguments(with) {}

  PickleId callable, arguments;

  std::span<const PickleId> states() const { return Of(&Later::states); }      // of BUILD, in order
  std::span<const PickleId> pairs() const { return Of(&Later::pairs); }        // key, value, ...
  std::span<const PickleId> appended() const { return Of(&Later::appended); }  // and added

 private:
  friend class PickleGraph;
  struct Later {
    std::vector<PickleId> states = {}, pairs = {}, appended = {};
  };
  std::span<const PickleId> Of(std::vector<PickleId> Later::*items) const {
    return later == nullptr ? std::span<const PickleId>()
                            : std::span<const PickleId>(*later.*items);
  }
  std::unique_ptr<Later> later;
};

class PickleGraph {
 public:
  PickleKind kind(PickleId id) const { return nodes_[id].kind; }
  std::size_t size() const noexcept { return nodes_.size(); }
  // Memory held, and what walking over it takes; what a reader compares with its bound.
  std::uint64_t bytes() const noexcept { return bytes_; }

  // REQUIRES: the kind fits.
  bool boolean(PickleId id) const { return nodes_[id].integer != 0; }
  std::int64_t integer(PickleId id) const { return nodes_[id].integer; }
  double real(PickleId id) const;
  // Of kText, kBytes, kBigInt and kGlobal.
  std::string_view text(PickleId id) const { return texts_[nodes_[id].place]; }
  // Of kGlobal: the two parts of "module.name", each of which may have dots.
  std::string_view global_module(PickleId id) const {
    return text(id).substr(0, static_cast<std::size_t>(nodes_[id].integer));
  }
  std::string_view global_name(PickleId id) const {
    return text(id).substr(static_cast<std::size_t>(nodes_[id].integer) + 1);
  }
  // Of kTuple, kList, kDict, kSet and kPersistent.
  std::span<const PickleId> items(PickleId id) const;
  const PickleObject& object(PickleId id) const { return objects_[nodes_[id].place]; }

  bool IsText(PickleId id, std::string_view text) const;
  bool IsGlobal(PickleId id, std::string_view name) const;
  // The items of a tuple; none where `id` is something else.
  std::span<const PickleId> TupleItems(PickleId id) const;

  // For the reader of pickles.
  PickleId AddNone();
  PickleId AddBool(bool value);
  PickleId AddInt(std::int64_t value);
  PickleId AddFloat(double value);
  PickleId AddText(PickleKind kind, std::string text);
  PickleId AddGlobal(std::string_view module, std::string_view name);
  PickleId AddItems(PickleKind kind, std::vector<PickleId> items);
  PickleId AddObject(PickleId callable, PickleId arguments);
  void Append(PickleId container, PickleId item);  // kList, kDict, kSet
  // Of kObject.
  void AddState(PickleId object, PickleId state);
  void AddPairs(PickleId object, std::span<const PickleId> items);
  void AppendTo(PickleId object, std::span<const PickleId> items);
  void Charge(std::uint64_t bytes) { bytes_ += bytes; }

 private:
  struct Node {
    PickleKind kind;
    std::uint32_t place = 0;   // in texts_, items_ or objects_; of a tuple the number of its items
    std::int64_t integer = 0;  // of a tuple the place of the first in tuples_
  };
  PickleId Add(Node node);
  PickleId AddTuple(PickleKind kind, std::span<const PickleId> items);
  PickleObject::Later& LaterOf(PickleId object);

  // Deques hold no room for as much again, and need none to grow.
  std::deque<Node> nodes_;
  std::deque<std::string> texts_;
  std::deque<std::vector<PickleId>> items_;  // of what may grow
  // The items of tuples and persistent ids, in blocks that never move. A place is the number of a
  // block, then that of an item in it.
  std::vector<std::vector<PickleId>> tuples_;
  std::deque<PickleObject> objects_;
  std::uint64_t bytes_ = 0;
};

// One of the words of a table?
bool OneOf(std::span<const std::string_view> words, std::string_view word) noexcept;

}  // namespace ckpt::formats
