#include "tests/fuzz/judge_network.h"

#include <cstdio>
#include <cstdlib>

#include "ckpt/verify.h"
#include "tests/fuzz/judge_checkpoint.h"

namespace ckpt::fuzz {
namespace {

// Sizes that the file leaves open, but for the batch.
std::map<std::string, network::Sizes> OpenShapes(const network::Network& net) {
  constexpr std::int64_t kSize = 4;
  std::map<std::string, network::Sizes> shapes;
  for (const network::Port& input : net.inputs) {
    network::Sizes shape = net.value(input.value).shape.value_or(network::Sizes{1, kSize});
    for (std::int64_t& size : shape) size = size == network::kUnknownSize ? kSize : size;
    shapes[input.name] = std::move(shape);
  }
  return shapes;
}

// The input at this place, as small as may be where the run does not need it.
execution::Array Filled(const execution::Plan& plan, std::size_t input, const Runnable& side) {
  const network::ValueId id = side.network->inputs[input].value;
  const auto& shape = plan.shapes[id.index];
  execution::Array array{shape.value_or(network::Sizes{0}),
                         {},
                         side.network->value(id).kind.value_or(network::ElementKind::kReal)};
  std::size_t count = 1;
  for (const std::int64_t size : array.shape) count *= static_cast<std::size_t>(size);
  array.elements.assign(count, 0.5);
  if (array.kind != network::ElementKind::kReal) array.elements.assign(count, 1);
  return array;
}

// Each output by itself: where one cannot be computed, the others are.
void RunEach(const Runnable& side, const VerifyOptions& options) {
  std::vector<network::Sizes> shapes;
  for (const network::Port& input : side.network->inputs) {
    shapes.push_back(options.shapes.at(input.name));
  }
  for (const network::Port& output : side.network->outputs) {
    execution::RunOptions run;
    run.budget = {std::uint64_t{1} << 24, std::uint64_t{1} << 18};
    run.wanted = {output.value};
    const auto plan = execution::PlanRun(*side.network, *side.weights, shapes, run);
    if (!plan) {
      ExpectInWords(plan.error());
      continue;
    }
    std::vector<execution::Array> inputs;
    for (std::size_t i = 0; i < shapes.size(); ++i) inputs.push_back(Filled(*plan, i, side));
    const auto made = execution::Run(*side.network, *side.weights, inputs, run);
    if (!made) ExpectInWords(made.error());
  }
}

}  // namespace

void JudgeNetwork(const Checkpoint& checkpoint) {
  const auto net = checkpoint.MakeNetwork();
  if (!net) return ExpectInWords(net.error());
  VerifyOptions options;
  options.budget.memory_bytes = std::uint64_t{1} << 26;
  options.budget.operations = std::uint64_t{1} << 22;
  options.shapes = OpenShapes(*net);
  const Runnable side{&*net, &checkpoint};
  RunEach(side, options);
  const auto found = VerifySameFunction(side, side, options);
  if (!found) return ExpectInWords(found.error());
  if (found->verdict != Verdict::kDifferent) return;
  std::fprintf(stderr, "broken promise: different from itself: %s\n", found->reason.c_str());
  std::abort();
}

}  // namespace ckpt::fuzz
