// What one layer of a Keras config is: what it computes, its attributes and the weights that it
// should have.
//
// Sources: the layers' own get_config() and build() of Keras 1.0 to 1.2, 2.0 to 2.15 and 3.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/model_graph.h"
#include "formats/keras/model/model_record.h"

namespace ckpt::formats::keras {

// A weight by its name in ckpt::Layer::tensors ("kernel", "moving_variance", ...).
struct ExpectedWeight {
  std::string name;
  bool trainable = true;  // moving statistics are not
};

struct LayerFacts {
  // Without name and tensors. What it computes is said as far as the config alone tells it; see
  // SayComputations().
  Layer layer;
  // It has the weights of its class, and they their names; else they go by what a file calls them.
  bool has_known_class = false;
  std::string_view kernel_name = "kernel";  // what Keras 2 calls the layer's "kernel"
  bool is_operation = false;                // a function of keras.ops among the layers
  // In the order in which Keras stores them; absent where the class is not known well enough.
  std::optional<std::vector<ExpectedWeight>> weights = {};
  // Of the class that it extends, by its config; it may have others, too (where `weights` is
  // absent).
  std::vector<ExpectedWeight> inherited = {};
  // None of its weights is a statistic or a counter (where `weights` is absent).
  bool all_trainable = false;
  int spatial_axes = 0;                            // of convolutions and pooling
  std::optional<std::int64_t> filters = {};        // of convolutions
  std::optional<std::int64_t> kernel_length = {};  // of one-dimensional convolutions
};

// `keras_major` is the first number of keras_version; 1 where the file has none, as Keras assumes.
LayerFacts DescribeLayer(const LayerRecord& record, int keras_major);

// Rank by "batch_input_shape", "batch_shape" or "build_input_shape" of a config.
std::optional<std::int64_t> RecordedInputRank(const Json& config);

// The config that holds the attributes: that of the wrapped layer for a TimeDistributed.
const Json& AttributesOf(const LayerRecord& record);

// The name in ckpt::Layer::tensors of a weight that a file calls `stored` ("W", "running_std",
// "depthwise_kernel"); `stored` itself where it has no other.
std::string CanonicalWeightName(const LayerFacts& facts, std::string_view stored);

// What it computes is not known: it may be something else than its class says.
void BeNotUnderstood(Layer& layer);

}  // namespace ckpt::formats::keras
