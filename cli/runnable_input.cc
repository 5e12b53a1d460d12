#include "cli/runnable_input.h"

#include <utility>

#include "ckpt/formats/open_graph.h"
#include "ckpt/network/bind_network.h"
#include "cli/input_pass.h"

namespace ckpt::cli {

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
  if (Status bound = BindNetwork(*of_graph, *model, checkpoint.manifest()); !bound) {
    return in_file(bound.error(), path);
  }
  return of_graph;
}

namespace {

// Weights without their model are opened with it.
Status UseModel(const std::string& graph, const CommonOptions& options, RunnableInput& input) {
  const Manifest& manifest = input.checkpoint->manifest();
  if (graph.empty() || manifest.graph || manifest.ops) return {};
  CKPT_ASSIGN_OR_RETURN(const auto model, formats::OpenGraphOf(*options.read, graph));
  CKPT_ASSIGN_OR_RETURN(auto whole,
                        formats::OpenWeightsOf(*options.read, *input.checkpoint, *model));
  if (whole) input.checkpoint = std::move(whole);
  return {};
}

}  // namespace

Result<RunnableInput> OpenRunnable(const std::string& path, const CommonOptions& options,
                                   const std::string& graph) {
  RunnableInput input;
  CKPT_ASSIGN_OR_RETURN(input.checkpoint, OpenNamed(path, options));
  CKPT_RETURN_IF_ERROR(UseModel(graph, options, input));
  AnnounceTensors(*input.checkpoint);  // a run takes its constants one at a time
  CKPT_ASSIGN_OR_RETURN(input.network, RunnableNetwork(*input.checkpoint, path, options, graph));
  return input;
}

}  // namespace ckpt::cli
