// The constants of a model as values of a network.
#pragma once

#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/onnx/network_step.h"
#include "formats/onnx_proto/onnx.pb.h"
#include "tl/expected.hpp"

namespace ckpt::formats::onnx {

// Of at most 1 MiB of doubles.
inline constexpr std::uint64_t kMostInlineElements = (std::uint64_t{1} << 20) / sizeof(double);

class NetworkConstants {
 public:
  // `model` must outlive this, and be the document of the reader of `weights`.
  static Result<NetworkConstants> Make(onnx_proto::ModelProto& model, const Checkpoint& weights);

  // Why it cannot be said, where it holds no numbers.
  tl::expected<network::ValueId, std::string> Add(network::NetworkBuilder& builder,
                                                  const onnx_proto::TensorProto& tensor,
                                                  std::string name) const;
  // Of a small tensor.
  std::optional<network::InlineConstant> Read(const onnx_proto::TensorProto& tensor) const;

 private:
  explicit NetworkConstants(const Checkpoint& weights) : weights_(&weights) {}

  const Checkpoint* weights_;
  std::unordered_map<const onnx_proto::TensorProto*, TensorId> ids_ = {};
};

// What a Constant holds as a number or a list in its attributes; or why that is nothing here.
tl::expected<network::InlineConstant, std::string> ListedConstant(const Step& step);

}  // namespace ckpt::formats::onnx
