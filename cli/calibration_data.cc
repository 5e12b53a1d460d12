#include "cli/calibration_data.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "cli/run_values.h"

namespace ckpt::cli {
namespace {

using execution::Array;
using network::Network;

Error Usage(std::string message, const std::string& file = {}) {
  return Error{ErrorCode::kInvalidArgument, std::move(message), file};
}

class HeldExamples : public ExampleSource {
 public:
  explicit HeldExamples(std::vector<Array> all) : all_(std::move(all)) {}
  std::uint64_t count() const noexcept override {
    return static_cast<std::uint64_t>(all_.front().shape[0]);
  }
  Result<std::vector<Array>> Read(std::uint64_t begin, std::uint64_t count) const override {
    std::vector<Array> parts;
    for (const Array& all : all_) {
      const std::size_t of_one = all.elements.size() / static_cast<std::size_t>(all.shape[0]);
      Array part{all.shape, {}, all.kind};
      part.shape[0] = static_cast<std::int64_t>(count);
      const auto from = all.elements.begin() + static_cast<std::ptrdiff_t>(begin * of_one);
      part.elements.assign(from, from + static_cast<std::ptrdiff_t>(count * of_one));
      parts.push_back(std::move(part));
    }
    return parts;
  }

 private:
  std::vector<Array> all_;
};

class Reading {
 public:
  Reading(const Network& net, const CommonOptions& options, std::uint64_t most_bytes)
      : net_(net), options_(options), left_(most_bytes), joined_(net.inputs.size()) {}

  Status AddFile(const std::string& path) {
    CKPT_ASSIGN_OR_RETURN(auto arrays, ReadArrays(options_, path, left_));
    for (auto& [name, array] : arrays) {
      const auto input = InputOf(name, arrays.size());
      if (!input) {
        return Fail(Usage("the array \"" + name + "\" is for no input; the network's inputs are " +
                              Inputs() + " (--data-input NAME=FILE says which)",
                          path));
      }
      CKPT_RETURN_IF_ERROR(Join(*input, std::move(array), path));
    }
    return {};
  }

  Status AddInput(const std::string& text) {
    const std::size_t equals = text.find('=');
    const auto input = equals == std::string::npos ? std::nullopt : Find(text.substr(0, equals));
    if (!input) {
      return Fail(Usage("--data-input: \"" + text + "\" is not NAME=FILE with one of the inputs " +
                        Inputs()));
    }
    const std::string path = text.substr(equals + 1);
    CKPT_ASSIGN_OR_RETURN(auto arrays, ReadArrays(options_, path, left_));
    if (arrays.size() != 1) return Fail(Usage("does not hold exactly one array", path));
    return Join(*input, std::move(arrays.begin()->second), path);
  }

  Result<CalibrationData> Take() {
    CalibrationData data;
    std::vector<Array> all;
    for (std::size_t i = 0; i < joined_.size(); ++i) {
      const std::string& name = net_.inputs[i].name;
      if (!joined_[i]) return Fail(Usage("no data are given for the input \"" + name + "\""));
      if (joined_[i]->shape[0] != joined_[0]->shape[0]) {
        return Fail(Usage("the inputs \"" + net_.inputs[0].name + "\" and \"" + name +
                          "\" have other numbers of examples"));
      }
      data.ranges.push_back(RangeOf(name, *joined_[i]));
      all.push_back(*std::move(joined_[i]));
    }
    if (all.empty()) return Fail(ErrorCode::kUnfit, "the network has no input");
    data.examples = std::make_unique<HeldExamples>(std::move(all));
    return data;
  }

 private:
  std::optional<std::size_t> Find(const std::string& name) const {
    for (std::size_t i = 0; i < net_.inputs.size(); ++i) {
      if (net_.inputs[i].name == name) return i;
    }
    return std::nullopt;
  }
  // A lone array is for a lone input, whatever it is called.
  std::optional<std::size_t> InputOf(const std::string& name, std::size_t arrays) const {
    if (const auto found = Find(name)) return found;
    return arrays == 1 && net_.inputs.size() == 1 ? std::optional<std::size_t>(0) : std::nullopt;
  }
  std::string Inputs() const {
    std::string text;
    for (const auto& port : net_.inputs) text += (text.empty() ? "\"" : ", \"") + port.name + "\"";
    return text;
  }

  // Behind what is there, along axis 0.
  Status Join(std::size_t input, Array array, const std::string& path) {
    const network::PartialShape& wanted = net_.value(net_.inputs[input].value).shape;
    const bool fits =
        !array.shape.empty() && array.shape[0] > 0 && (!wanted || FitsBehind(*wanted, array.shape));
    if (!fits) {
      return Fail(Usage(
          "the array for \"" + net_.inputs[input].name + "\" is no batch of examples of its shape",
          path));
    }
    left_ -= std::min<std::uint64_t>(left_, array.elements.size() * sizeof(double));
    std::optional<Array>& joined = joined_[input];
    if (!joined) {
      joined = std::move(array);
      return {};
    }
    if (!FitsBehind(joined->shape, array.shape)) {
      return Fail(Usage("its examples have another shape than those of the files before", path));
    }
    joined->shape[0] += array.shape[0];
    joined->elements.insert(joined->elements.end(), array.elements.begin(), array.elements.end());
    return {};
  }
  // The same but for the number of examples.
  static bool FitsBehind(const network::Sizes& wanted, const network::Sizes& shape) {
    if (wanted.size() != shape.size()) return false;
    for (std::size_t i = 1; i < shape.size(); ++i) {
      if (wanted[i] != network::kUnknownSize && wanted[i] != shape[i]) return false;
    }
    return true;
  }

  static DataRange RangeOf(const std::string& name, const Array& array) {
    DataRange range{name, array.shape, array.elements.front(), array.elements.front(), 0, 0};
    for (const double element : array.elements) {
      range.least = std::min(range.least, element);
      range.most = std::max(range.most, element);
      range.mean += element / static_cast<double>(array.elements.size());
    }
    double squares = 0;
    for (const double element : array.elements) {
      squares += (element - range.mean) * (element - range.mean);
    }
    range.deviation = std::sqrt(squares / static_cast<double>(array.elements.size()));
    return range;
  }

  const Network& net_;
  const CommonOptions& options_;
  std::uint64_t left_;
  std::vector<std::optional<Array>> joined_;  // by input
};

}  // namespace

Result<CalibrationData> ReadCalibrationData(const DataFiles& data, const Network& network,
                                            const CommonOptions& options,
                                            std::uint64_t most_bytes) {
  Reading reading(network, options, most_bytes);
  for (const std::string& path : data.files) CKPT_RETURN_IF_ERROR(reading.AddFile(path));
  for (const std::string& text : data.inputs) CKPT_RETURN_IF_ERROR(reading.AddInput(text));
  return reading.Take();
}

}  // namespace ckpt::cli
