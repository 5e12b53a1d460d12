#include "audit/update_count.h"

#include <algorithm>
#include <cmath>
#include <string_view>

namespace ckpt::audit {
namespace {

std::string_view LastComponent(std::string_view name) {
  const std::size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

// "scope/moving_mean/biased" belongs to "scope/moving_mean", and so does the
// "scope/scope/moving_mean/biased" that TensorFlow makes inside the variable's own scope.
bool IsHelperOf(const Subject& subject, TensorId helper, TensorId statistic,
                std::string_view suffix) {
  const std::vector<TensorInfo>& tensors = subject.manifest().tensors;
  const std::string tail =
      "/" + std::string(LastComponent(tensors[statistic.index].name)) + "/" + std::string(suffix);
  return tensors[helper.index].name.ends_with(tail);
}

bool Debiased(const Subject& subject, const BatchNorm& layer, TensorId statistic) {
  return std::any_of(layer.extras.begin(), layer.extras.end(), [&](TensorId extra) {
    return IsHelperOf(subject, extra, statistic, "biased");
  });
}

}  // namespace

std::optional<double> StepOf(const Subject& subject) {
  return subject.analysis.step ? subject.reader.Scalar(*subject.analysis.step) : std::nullopt;
}

std::optional<double> LocalStep(const Subject& subject, const BatchNorm& layer) {
  std::optional<double> updates;
  for (const TensorId extra : layer.extras) {
    for (const TensorId statistic : StatisticsOf(layer)) {
      if (!IsHelperOf(subject, extra, statistic, "local_step")) continue;
      const std::optional<double> count = subject.reader.Scalar(extra);
      if (count && (!updates || *count > *updates)) updates = count;
    }
  }
  return updates;
}

bool FullyDebiased(const Subject& subject, const BatchNorm& layer) {
  const std::vector<TensorId> statistics = StatisticsOf(layer);
  return std::all_of(statistics.begin(), statistics.end(),
                     [&](TensorId statistic) { return Debiased(subject, layer, statistic); });
}

std::optional<UpdateCount> UpdatesOf(const Subject& subject, const BatchNorm& layer) {
  const auto usable = [](const std::optional<double>& count) {
    return count && std::isfinite(*count) && *count > 0;
  };
  if (layer.batch_counter) {
    const std::optional<double> batches = subject.reader.Scalar(*layer.batch_counter);
    if (!usable(batches)) return std::nullopt;  // 0 beside learnt statistics: not their counter
    return UpdateCount{*batches, "num_batches_tracked", false};
  }
  if (const std::optional<double> updates = LocalStep(subject, layer); usable(updates)) {
    return UpdateCount{*updates, "local_step", false};
  }
  if (KeepsStatistics(layer)) return std::nullopt;  // the step counts the updates of others
  const std::optional<double> step = StepOf(subject);
  if (!usable(step)) return std::nullopt;
  return UpdateCount{*step, subject.manifest().tensors[subject.analysis.step->index].name, true};
}

}  // namespace ckpt::audit
