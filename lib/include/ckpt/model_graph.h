// The part of a model's graph that folding and auditing need: which layer feeds which.
//
// A Layer owns tensors and attributes; a Node is one call of a layer; a Value is what a node
// yields. A shared layer has several nodes. Nested models are flattened, their layers named
// "outer/inner". Built by a format from what the file records (a Keras config; later a GraphDef or
// an ONNX graph).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/kernel_layout.h"
#include "ckpt/network/operation.h"
#include "ckpt/tensor.h"

namespace ckpt {

using LayerId = std::uint32_t;
using NodeId = std::uint32_t;
using ValueId = std::uint32_t;

struct Layer {
  std::string name;     // path: "bn_a", "inner/ic"
  std::string op_type;  // the framework's word: "Conv2D"
  // What it computes, its own activation aside; see ckpt/layer_computation.h. Its operands are the
  // node's inputs, in order, then its tensors: a convolution's data is input 0, and its kernel
  // none. Unknown where that is not understood (Lambda, classes of the user's own): never folded
  // through.
  network::Computation computation = network::Unknown{};
  // A separable convolution: the depthwise one in front of `computation`, with the kernel
  // "depthwise_kernel".
  std::optional<network::Convolution> depthwise_first = {};
  bool is_input = false;  // an input of the model: it computes nothing
  // The convolution or product is with a kernel of the layer's own. Else with another value of the
  // graph.
  bool has_kernel = false;

  // Tensors by their name in the layer: "kernel", "bias", "gamma", "beta", "moving_mean",
  // "moving_variance". A separable convolution's "kernel" is the pointwise one.
  std::map<std::string, TensorId> tensors = {};
  // Names of tensors that the config calls for and the file lacks (a bias with use_bias, gamma with
  // scale, the statistics).
  std::vector<std::string> missing_tensors = {};

  KernelLayout layout = KernelLayout::kSpatialInOut;
  std::int64_t groups = 1;
  std::string activation = "linear";  // applied to the layer's own output
  // The channel axis of the layer's output (convolutions, pooling, padding, dense) or the axis it
  // acts on (batch norm, concat), as recorded: 1 or -1, ...; absent where the layer has none. A
  // flatten has 1 if it moves axis 1 to the end first (Keras' channels_first), else none.
  std::optional<std::int64_t> axis = {};
  std::optional<double> epsilon = {}, momentum = {};  // batch norm, as recorded
  bool has_scale = true, has_center = true;           // batch norm: gamma, beta exist by config
  // False: a multiplication and an addition for each channel, written as BatchNormalization without
  // mean and variance.
  bool has_statistics = true;
  bool can_gain_bias = false;  // the layer could be given a bias by editing the config
  bool trainable = true;       // the config's flag (false: frozen)
  // Why a batch norm must not be treated as an affine map per channel at serving, if it must not
  // (Keras 1 mode 1 or 2, several axes); empty otherwise.
  std::string not_affine = {};
  // Why a batch norm may compute something else than its config says (a class of the user's own);
  // empty: it does not. Folded only where the user pairs it, who knows.
  std::string unproved_class = {};
  // Why a batch norm normalises with the statistics of its batch where the file is served
  // ("training_mode is 1"); empty: it does not. Left empty for a graph that is meant for training.
  std::string training_mode = {};
  // Whoever loads the file overrides that call (predict() of Keras 3): inference all the same.
  bool training_mode_overridden = false;
  // Why a batch norm in training mode cannot be made to use its moving statistics by an edit of the
  // graph (something reads the statistics of its batch); empty: it can.
  std::string not_inference = {};
  // Tensors of a batch norm that are no stored constants of the graph, by name, and what gives them
  // instead: {"moving_mean", "an input of the model"}. Not among `missing_tensors`.
  std::map<std::string, std::string> fed_tensors = {};

  // What the kernel and the bias are multiplied with by an attribute (Gemm's alpha and beta). A
  // bias that the layer gains has factor 1.
  double kernel_factor = 1, bias_factor = 1;
  // Why a batch norm must not be folded forward into the layer, if it must not.
  std::string not_forward = {};
  // The graph names the tensors that the layer reads, so that it can be made to read others: see
  // GraphEdits::rebound. Otherwise a tensor that two layers share cannot be changed.
  bool can_rebind = false;
  // Where the record of the graph (an ONNX model) reads a tensor, by its name in the layer: the
  // index of the operation, where it is another than the layer's own.
  std::map<std::string, std::uint32_t> read_by = {};
  // A batch norm that several operations of the record compute: those from what it reads to what it
  // yields, and those beside them that serve nothing else. Empty: it is one operation.
  std::vector<std::uint32_t> path = {}, beside = {};
  std::uint32_t path_input = 0;  // of the first one: what the batch norm reads
  // Its "moving_variance" is the root of the variance + epsilon; `epsilon` is 0.
  bool stores_deviation = false;
  // Every call of a batch norm is an inference call, in training too: its statistics stay as they
  // were loaded.
  bool inference_only = false;
  // A batch norm that a reduction turns into a multiplication and an addition: the number of axes
  // behind its channel axis. Absent: it stays a batch norm (see GraphEdits::to_affine).
  std::optional<std::size_t> axes_behind_channels = {};
};

struct Node {
  LayerId layer;
  std::vector<ValueId> inputs;
  ValueId output;  // what Layer::computation says is said of it
  // Its other results that something reads. Of parts that are alike (network::Split) the
  // computation says the same of each.
  std::vector<ValueId> others = {};
};

struct Value {
  std::optional<NodeId> producer;  // absent: not of this graph
  std::vector<NodeId> consumers;   // a node that reads it twice is listed twice
  bool is_model_output = false;  // of the whole model, or read by something that is not understood
  std::optional<std::int64_t> rank = {};  // batch axis included, where known
  // Its sizes as far as known, -1 for one that is not; then the rank is known, too.
  std::optional<network::Sizes> shape = {};
};

// Which record of a model a graph was built from.
enum class GraphOrigin : std::uint8_t {
  kOperations,  // of TensorFlow: what a GraphDef, a MetaGraphDef, a SavedModel serves
  kKerasConfig,
  kOnnxGraph,
  kDarknetCfg,
  kCaffeNet,
  kMxnetSymbol,
};

struct ModelGraph {
  GraphOrigin origin = GraphOrigin::kOperations;
  bool of_other_file = false;  // bound to these tensors from another file (--graph)
  std::string source;          // for evidence, in words: "Keras config", "GraphDef of model.pb"
  std::vector<Layer> layers;
  std::vector<Node> nodes;  // topologically sorted
  std::vector<Value> values;
  // Besides those of tensors, names that a new tensor must not have.
  std::set<std::string, std::less<>> taken_names = {};

  // Adds a layer and its only call, after those of its inputs; returns the value that it makes.
  ValueId AddCall(Layer layer, std::vector<ValueId> inputs, std::optional<std::int64_t> rank = {});

  std::vector<NodeId> CallsOf(LayerId layer) const;
  std::optional<LayerId> FindLayer(std::string_view name) const;
};

// A layer reads another tensor from now on: `tensor` of the output instead of what it read.
struct Rebound {
  LayerId layer;
  std::string local_name;  // "kernel", "bias", "gamma", "beta"
  std::string tensor;      // a name of the output
  bool operator==(const Rebound&) const = default;
};

// What a fold changes in the graph; a format applies it to its own record of the model.
struct GraphEdits {
  std::vector<LayerId> removed = {};      // batch norms whose consumers now read their input
  std::vector<LayerId> gained_bias = {};  // use_bias becomes true
  // Batch norms that became one scale and one offset per channel: gamma and beta exist now and hold
  // these. Without Layer::axes_behind_channels the layer stays a batch norm, with mean 0 and
  // variance 1 - epsilon; epsilon stays: some runtimes do not take 0. With it, y = x * gamma + beta
  // takes its place, with gamma and beta of shape [channels, 1, ...]; mean and variance are gone.
  std::vector<LayerId> to_affine = {};
  // Batch norms in training mode that use their moving statistics from now on.
  std::vector<LayerId> to_inference = {};
  // Only for layers with can_rebind: a tensor that was shared with another layer and is now the
  // layer's own, or one that did not exist (a bias gained; gamma and beta of an affine layer).
  std::vector<Rebound> rebound = {};
};

}  // namespace ckpt
