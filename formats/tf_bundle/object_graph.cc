#include "formats/tf_bundle/object_graph.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/wire_format_lite.h>

#include <algorithm>
#include <utility>

#include "formats/tf_proto/trackable_object_graph.pb.h"

namespace ckpt::formats {
namespace {

using google::protobuf::internal::WireFormatLite;

// Graphs have some hundred bytes per variable. One node's message takes up to thirty times its
// bytes in memory, so nodes are held one at a time, and none may be too large: 4 MiB are 300,000
// children.
constexpr std::uint64_t kMaxGraphBytes = std::uint64_t{64} << 20;
constexpr std::size_t kMaxNodeBytes = std::size_t{4} << 20;
constexpr std::uint32_t kNodesTag =
    WireFormatLite::MakeTag(1, WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

class GraphParser {
 public:
  explicit GraphParser(std::string_view bytes)
      : bytes_(bytes),
        input_(reinterpret_cast<const std::uint8_t*>(bytes.data()),
               static_cast<int>(bytes.size())) {}

  Result<ObjectGraph> Parse() {
    while (const std::uint32_t tag = input_.ReadTag()) {
      if (tag != kNodesTag) {
        if (!WireFormatLite::SkipField(&input_, tag)) return Fail(Malformed());
        continue;
      }
      CKPT_RETURN_IF_ERROR(ReadNode());
    }
    if (!input_.ConsumedEntireMessage() || graph_.node_count() == 0) return Fail(Malformed());
    CKPT_RETURN_IF_ERROR(CheckNumbers());
    return std::move(graph_);
  }

 private:
  static Error Malformed() { return Error{ErrorCode::kCorrupt, "is not a TrackableObjectGraph"}; }

  Status ReadNode() {
    std::uint32_t size = 0;
    if (!input_.ReadVarint32(&size)) return Fail(Malformed());
    const auto begin = static_cast<std::size_t>(input_.CurrentPosition());
    if (size > bytes_.size() - begin) return Fail(Malformed());
    if (size > kMaxNodeBytes) {
      return Fail(ErrorCode::kLimitExceeded,
                  "has a node of " + std::to_string(size) + " bytes in its object graph");
    }
    if (!node_.ParseFromArray(bytes_.data() + begin, static_cast<int>(size)) ||
        !input_.Skip(static_cast<int>(size))) {
      return Fail(Malformed());
    }
    AddNode();
    return {};
  }

  void AddNode() {
    const auto number = static_cast<std::uint32_t>(graph_.node_count());
    for (const auto& child : node_.children()) {
      graph_.edges.push_back({static_cast<std::uint32_t>(child.node_id()),
                              AddName(child.local_name()),
                              static_cast<std::uint32_t>(child.local_name().size())});
    }
    for (auto& attribute : *node_.mutable_attributes()) {
      if (attribute.name() != "VARIABLE_VALUE" || attribute.checkpoint_key().empty()) continue;
      graph_.variables.push_back({number, std::move(*attribute.mutable_full_name()),
                                  std::move(*attribute.mutable_checkpoint_key())});
    }
    for (const auto& slot : node_.slot_variables()) {
      graph_.slots.push_back({number, static_cast<std::uint32_t>(slot.original_variable_node_id()),
                              static_cast<std::uint32_t>(slot.slot_variable_node_id()),
                              AddName(slot.slot_name()),
                              static_cast<std::uint32_t>(slot.slot_name().size())});
    }
    graph_.edges_begin.push_back(static_cast<std::uint32_t>(graph_.edges.size()));
  }

  std::uint32_t AddName(const std::string& name) {
    const auto begin = static_cast<std::uint32_t>(graph_.names.size());
    graph_.names += name;
    return begin;
  }

  Status CheckNumbers() const {
    const std::size_t count = graph_.node_count();
    const bool sound =
        std::all_of(graph_.edges.begin(), graph_.edges.end(),
                    [&](const ObjectGraph::Edge& edge) { return edge.child < count; }) &&
        std::all_of(graph_.slots.begin(), graph_.slots.end(), [&](const ObjectGraph::Slot& slot) {
          return slot.original < count && slot.slot_variable < count;
        });
    if (sound) return {};
    return Fail(ErrorCode::kCorrupt, "refers to a node that its object graph does not have");
  }

  std::string_view bytes_;
  google::protobuf::io::CodedInputStream input_;
  tf_proto::TrackableObject node_;  // kept for its memory
  ObjectGraph graph_;
};

}  // namespace

Result<ObjectGraph> ParseObjectGraph(std::string_view serialized, const Limits& limits) {
  const std::uint64_t max_bytes = std::min(kMaxGraphBytes, limits.metadata_bytes);
  if (serialized.size() > max_bytes) {
    return Fail(ErrorCode::kLimitExceeded,
                "has an object graph of " + std::to_string(serialized.size()) +
                    " bytes, where at most " + std::to_string(max_bytes) + " are read");
  }
  return GraphParser(serialized).Parse();
}

}  // namespace ckpt::formats
