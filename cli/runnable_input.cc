#include "cli/runnable_input.h"

#include <set>
#include <utility>

#include "ckpt/formats/open_graph.h"

namespace ckpt::cli {
namespace {

Error Unfit(std::string message, const std::string& tensor) {
  Error error{ErrorCode::kUnfit, std::move(message)};
  error.tensor = tensor;
  return error;
}

// The network's constants become the tensors of the same names in `names`.
Status Bind(network::Network& net, const Manifest& model, const Manifest& names) {
  std::set<std::uint32_t> bound;
  for (network::Value& value : net.values) {
    auto* stored =
        value.constant ? std::get_if<network::StoredConstant>(&*value.constant) : nullptr;
    if (stored == nullptr) continue;
    const TensorInfo& wanted = model.tensors[stored->tensor.index];
    const auto found = FindTensor(names, wanted.name);
    if (!found) {
      // A number of the graph that no state dict has.
      return Fail(
          Unfit("is read by the network of --graph, and is no tensor of the input", wanted.name));
    }
    const TensorInfo& tensor = names.tensors[found->index];
    if (tensor.shape != wanted.shape) {
      return Fail(Unfit("has the shape " + ToString(tensor.shape) + ", and " +
                            ToString(wanted.shape) + " in the network of --graph",
                        tensor.name));
    }
    stored->tensor = *found;
    bound.insert(found->index);
  }
  for (std::uint32_t i = 0; i < names.tensors.size(); ++i) {
    const TensorInfo& tensor = names.tensors[i];
    if (bound.contains(i) || tensor.section != Section::kModel || !IsFloat(tensor.dtype)) continue;
    return Fail(
        Unfit("is a tensor of the input that the network of --graph does not read", tensor.name));
  }
  return {};
}

}  // namespace

Result<network::Network> RunnableNetwork(const Checkpoint& checkpoint, const std::string& path,
                                         const CommonOptions& options, const std::string& graph) {
  const auto in_file = [](Error error, const std::string& file) {
    if (error.file.empty()) error.file = file;
    return Fail(std::move(error));
  };
  auto network = checkpoint.MakeNetwork();
  if (network) return network;
  Error error = std::move(network).error();
  if (error.code != ErrorCode::kUnsupported) return in_file(std::move(error), path);
  if (graph.empty()) {
    if (!checkpoint.manifest().ops) error.message += "; --graph FILE names one that has it";
    return in_file(std::move(error), path);
  }
  CKPT_ASSIGN_OR_RETURN(const auto model, formats::OpenGraphOf(*options.read, graph));
  auto of_graph = model->MakeNetwork();
  if (!of_graph) return in_file(std::move(of_graph).error(), graph);
  if (Status bound = Bind(*of_graph, model->manifest(), checkpoint.manifest()); !bound) {
    return in_file(bound.error(), path);
  }
  return of_graph;
}

Result<RunnableInput> OpenRunnable(const std::string& path, const CommonOptions& options,
                                   const std::string& graph) {
  RunnableInput input;
  CKPT_ASSIGN_OR_RETURN(input.checkpoint,
                        formats::OpenCheckpoint(*options.read, path, OpenOptionsOf(options)));
  CKPT_ASSIGN_OR_RETURN(input.network, RunnableNetwork(*input.checkpoint, path, options, graph));
  return input;
}

}  // namespace ckpt::cli
