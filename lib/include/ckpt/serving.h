// The serving graph: what a graph of operations computes at inference, its variables become
// constants, everything that only trains gone.
//
// Only the ancestors of the outputs stay. Functions are inlined; the branch that serves is taken
// where a training phase decides; batch statistics give way to the moving statistics that the
// graph's own update operations keep of them. Nothing is guessed: what cannot be decided is refused
// with the operation named.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/convert.h"
#include "ckpt/op_outputs.h"

namespace ckpt {

// Marks on operations of a serving graph, as attributes that no file holds: a constant that was a
// variable (true), and the function whose body the operation's record is of.
inline constexpr std::string_view kWasVariable = "_ckpt_variable";
inline constexpr std::string_view kRecordFunction = "_ckpt_function";
inline bool IsServingMark(std::string_view attr) noexcept { return attr.starts_with("_ckpt_"); }
inline bool WasVariable(const Op& op) { return FindAttr<bool>(op, kWasVariable) != nullptr; }

struct ServingOptions {
  // Tensors by name ("images", "images:0"): where the graph is cut, and what it is to yield. Empty:
  // by the signature, else derived from placeholders and from what reads the predictions.
  std::vector<std::string> inputs = {}, outputs = {};
  // Batch norms that a graph which serves as it is runs in training mode use their moving
  // statistics; else such a graph is refused.
  bool close_training_mode = false;
  // --feed: values of scalar placeholders ("phase" -> "false").
  std::map<std::string, std::string> feed = {};
};

// A checkpoint whose manifest has the serving graph in `ops` and its layers in `graph`. A constant
// whose `tensor` is set holds that tensor of this manifest; the others hold their values.
class ServingModel : public Checkpoint {
 public:
  // Batch norms of a graph that serves in training mode, closed as was asked for: by the names of
  // the tensors that are their moving statistics, with what trained there as the reason.
  virtual const std::vector<Changed>& closed() const noexcept = 0;
  // What was decided on the way, for people.
  virtual const std::vector<std::string>& notes() const noexcept = 0;
  // Signatures of the source that the serving graph does not have, with the reason.
  virtual const std::vector<Dropped>& dropped_signatures() const noexcept = 0;
  // Tensors of the source that the serving graph does not read.
  virtual const std::vector<Dropped>& unused() const noexcept = 0;
  // What the signature at this place of the graph's computes; MakeNetwork() is that of the first.
  virtual Result<network::Network> NetworkOf(std::size_t signature) const = 0;
  // The serving graph after a conversion that was planned for this model: folded batch norms gone,
  // biases added, leftovers reduced. A constant's `tensor` is an index into plan.tensors, from
  // which what the graph no longer reads is taken out.
  virtual Result<OpGraph> Apply(ConversionPlan& plan) const = 0;
};

// REQUIRES: source.manifest().ops; `source` must outlive the result. kUnfit where the file lacks a
// variable that is read at inference, or a batch norm cannot be shown to use moving statistics;
// kInvalidArgument for names that the graph has not; kUnsupported for operations that cannot serve
// from a file alone (lookup tables).
Result<std::unique_ptr<ServingModel>> MakeServingModel(const Checkpoint& source,
                                                       const ServingOptions& options);

}  // namespace ckpt
