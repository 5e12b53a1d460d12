// Which inputs and outputs of two networks are one, and what the inputs are given.
#pragma once

#include <vector>

#include "ckpt/verify.h"

namespace ckpt {

// An input or output of both: places in Network::inputs or outputs. Axis i of B's is axis order[i]
// of A's; empty: the same axes.
struct PortPair {
  std::size_t a = 0, b = 0;
  network::Sizes order = {};
};

struct GivenInputs {
  std::vector<PortPair> pairs = {};
  std::vector<execution::Array> a = {}, b = {};  // by place in Network::inputs
  std::vector<UsedInput> used = {};
  std::vector<UnreadInput> unread = {};  // an array of one element stands for each
};

// kInvalidArgument as VerifySameFunction says; kUnfit where inputs cannot be told apart.
Result<GivenInputs> GiveInputs(const Runnable& a, const Runnable& b, const VerifyOptions& options);
Result<std::vector<PortPair>> PairOutputs(const network::Network& a, const network::Network& b,
                                          const VerifyOptions& options);

}  // namespace ckpt
