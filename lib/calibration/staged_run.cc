#include "calibration/staged_run.h"

#include <algorithm>
#include <utility>

#include "execution/cost.h"

namespace ckpt {

using execution::Array;
using execution::Plan;
using execution::RunOptions;
using network::Network;

namespace {

// Of the memory that is allowed, for one batch while it runs; the rest is for what is kept.
constexpr std::uint64_t kShareOfBatch = 4;

Result<Plan> PlanBatch(const Network& network, const Checkpoint& weights,
                       const std::vector<Array>& one, std::uint64_t count,
                       const RunOptions& options) {
  std::vector<network::Sizes> shapes;
  for (const Array& array : one) {
    shapes.push_back(array.shape);
    if (!shapes.back().empty()) shapes.back()[0] = static_cast<std::int64_t>(count);
  }
  return execution::PlanRun(network, weights, std::span<const network::Sizes>(shapes), options);
}

// The number of examples that the network says of its inputs, where it does.
std::optional<std::uint64_t> SaidByNetwork(const Network& network) {
  for (const network::Port& input : network.inputs) {
    const network::PartialShape& shape = network.value(input.value).shape;
    if (shape && !shape->empty() && shape->front() > 0) {
      return static_cast<std::uint64_t>(shape->front());
    }
  }
  return std::nullopt;
}

}  // namespace

Result<std::uint64_t> ExamplesAtATime(const Network& network, const Checkpoint& weights,
                                      const ExampleSource& examples,
                                      const std::vector<network::ValueId>& wanted,
                                      const execution::Budget& budget, std::uint64_t most) {
  if (examples.count() == 0) return Fail(ErrorCode::kUnfit, "the data hold no example");
  RunOptions options;
  options.budget = budget;
  options.wanted = wanted;
  CKPT_ASSIGN_OR_RETURN(const std::vector<Array> one, examples.Read(0, 1));
  if (const auto said = SaidByNetwork(network)) {
    if (examples.count() % *said != 0) {
      return Fail(ErrorCode::kUnfit, "the network takes " + std::to_string(*said) +
                                         " examples at a time, and the data hold " +
                                         std::to_string(examples.count()));
    }
    CKPT_RETURN_IF_ERROR(PlanBatch(network, weights, one, *said, options));
    return *said;
  }
  std::uint64_t count = most == 0 ? examples.count() : std::min(most, examples.count());
  options.budget.memory_bytes = budget.memory_bytes / kShareOfBatch;
  while (true) {
    if (count == 1) options.budget.memory_bytes = budget.memory_bytes;
    const auto plan = PlanBatch(network, weights, one, count, options);
    if (plan) return count;
    if (plan.error().code != ErrorCode::kLimitExceeded || count == 1) return Fail(plan);
    count = (count + 1) / 2;
  }
}

Result<StagedRun> StagedRun::Start(NetworkStages stages, const Checkpoint& weights,
                                   const ExampleSource& examples, const execution::Budget& budget,
                                   std::uint64_t most_at_a_time) {
  StagedRun run(std::move(stages), examples, budget);
  if (run.stages_.count() == 0) return run;
  const NetworkStages::Part whole = run.stages_.Between({}, run.stages_.count() - 1);
  RunOptions options;
  options.budget = budget;
  options.wanted = run.stages_.Last();
  CKPT_ASSIGN_OR_RETURN(
      const std::uint64_t batch,
      ExamplesAtATime(whole.network, weights, examples, options.wanted, budget, most_at_a_time));
  CKPT_ASSIGN_OR_RETURN(const std::vector<Array> one, examples.Read(0, 1));
  CKPT_ASSIGN_OR_RETURN(const Plan plan, PlanBatch(whole.network, weights, one, batch, options));
  run.most_kept_bytes_ = budget.memory_bytes - plan.peak_bytes;
  for (std::uint64_t begin = 0; begin < examples.count(); begin += batch) {
    run.batches_.push_back({begin, std::min(batch, examples.count() - begin)});
  }
  return run;
}

// `ids` without those of the network's inputs.
std::vector<network::ValueId> StagedRun::MadeIn(const Network& part,
                                                std::vector<network::ValueId> ids) {
  std::erase_if(ids, [&](network::ValueId id) {
    return std::any_of(part.inputs.begin(), part.inputs.end(),
                       [&](const network::Port& input) { return input.value == id; });
  });
  return ids;
}

Status StagedRun::RunNext(const Checkpoint& weights, const execution::StatisticsOf& statistics,
                          const Seen& seen) {
  const std::vector<network::ValueId> kept = stages_.KeptAfter(next_);
  std::vector<std::size_t> measured;
  std::vector<network::ValueId> wanted = kept;
  for (std::size_t i = 0; i < stages_.measured(); ++i) {
    if (stages_.StageOf(i) != next_) continue;
    measured.push_back(i);
    wanted.push_back(stages_.InputOf(i));
  }
  std::sort(wanted.begin(), wanted.end());
  wanted.erase(std::unique(wanted.begin(), wanted.end()), wanted.end());
  parts_.clear();
  for (Batch& batch : batches_) {
    CKPT_ASSIGN_OR_RETURN(Values values, RunBatch(batch, weights, statistics, wanted));
    for (const std::size_t i : measured) {
      CKPT_RETURN_IF_ERROR(seen(i, values.at(stages_.InputOf(i))));
    }
    Keep(batch, kept, std::move(values));
  }
  ++next_;
  return {};
}

const NetworkStages::Part& StagedRun::PartBehind(const Batch& batch) {
  const auto found = parts_.find(batch.after);
  if (found != parts_.end()) return found->second;
  return parts_.emplace(batch.after, stages_.Between(batch.after, next_)).first->second;
}

Result<StagedRun::Values> StagedRun::RunBatch(Batch& batch, const Checkpoint& weights,
                                              const execution::StatisticsOf& statistics,
                                              const std::vector<network::ValueId>& wanted) {
  const NetworkStages::Part& part = PartBehind(batch);
  RunOptions options;
  // What is kept already stays where it is.
  options.wanted = batch.after ? MadeIn(part.network, wanted) : wanted;
  if (statistics) {
    options.statistics = [&](network::OperationId id, const Array& data) {
      return statistics(part.original[id.index], data);
    };
  }
  std::vector<Array> read;
  if (!batch.after) {
    CKPT_ASSIGN_OR_RETURN(read, examples_->Read(batch.begin, batch.count));
  }
  const std::vector<Array>& inputs = batch.after ? batch.kept : read;
  const auto run = [&] {
    options.budget = budget_;
    options.budget.memory_bytes -= kept_bytes_ - batch.bytes;
    return execution::Run(part.network, weights, inputs, options);
  };
  auto made = run();
  if (!made && made.error().code == ErrorCode::kLimitExceeded) {
    // The plan of all stages together is near to what each of them takes, not above it.
    for (Batch& other : batches_) {
      if (&other != &batch) Forget(other);
    }
    made = run();
  }
  if (!made) return Fail(made);
  Values values;
  for (std::size_t i = 0; i < made->size(); ++i) {
    values.emplace(options.wanted[i], std::move((*made)[i]));
  }
  return values;
}

void StagedRun::Forget(Batch& batch) {
  kept_bytes_ -= batch.bytes;
  batch.after.reset();
  batch.kept.clear();
  batch.bytes = 0;
}

// Those in front go on: room is made by the last of those that are behind in stages.
void StagedRun::Keep(Batch& batch, const std::vector<network::ValueId>& ids, Values values) {
  const auto array_of = [&](network::ValueId id) {
    const auto made = values.find(id);
    if (made != values.end()) return &made->second;
    const auto& inputs = PartBehind(batch).network.inputs;
    const auto input = std::find_if(inputs.begin(), inputs.end(),
                                    [&](const network::Port& port) { return port.value == id; });
    return &batch.kept[static_cast<std::size_t>(input - inputs.begin())];
  };
  std::uint64_t bytes = 0, in_front = 0;
  for (const network::ValueId id : ids) bytes += execution::BytesOf(array_of(id)->shape);
  for (const Batch* other = batches_.data(); other != &batch; ++other) in_front += other->bytes;
  if (in_front + bytes > most_kept_bytes_) return;  // it stays where it is
  std::vector<Array> kept;
  for (const network::ValueId id : ids) kept.push_back(std::move(*array_of(id)));
  Forget(batch);
  for (auto other = batches_.rbegin(); kept_bytes_ + bytes > most_kept_bytes_; ++other) {
    Forget(*other);
  }
  batch.after = next_;
  batch.kept = std::move(kept);
  batch.bytes = bytes;
  kept_bytes_ += bytes;
}

}  // namespace ckpt
