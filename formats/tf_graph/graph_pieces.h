// A GraphDef about to be written: messages that are held, and tensors that are streamed between.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/atomic_output.h"
#include "formats/tf_proto/graph.pb.h"

namespace ckpt::formats {

// Protobuf's messages end below 2 GiB.
inline constexpr std::uint64_t kMaxMessageBytes = (std::uint64_t{1} << 31) - 1;

class GraphPieces {
 public:
  using Source = std::function<Status(const std::function<Status(std::span<const std::byte>)>&)>;

  void AddNode(const tf_proto::NodeDef& node);
  // A constant of `bytes` bytes of content, which `source` hands over when it is written. `node`
  // has everything but the attribute "value".
  void AddConstant(const tf_proto::NodeDef& node, const tf_proto::TensorProto& described,
                   std::uint64_t bytes, Source source);
  // Other fields of the GraphDef: its versions.
  void AddFields(const tf_proto::GraphDef& fields);

  std::uint64_t size() const noexcept { return size_; }
  Status Write(OutputFile& file) const;

 private:
  struct Piece {
    std::string bytes;
    Source source;  // after the bytes; may be empty
    std::uint64_t streamed = 0;
  };
  std::string& Tail();
  std::vector<Piece> pieces_;
  std::uint64_t size_ = 0;
};

// Appends protobuf's variable-length form of a number, and a field's tag with a length.
void AppendVarint(std::uint64_t value, std::string& out);
void AppendLengthField(unsigned field, std::uint64_t length, std::string& out);
// Appends the text to a file.
Status AppendText(OutputFile& file, const std::string& text);

}  // namespace ckpt::formats
