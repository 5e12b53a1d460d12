#include "cli/calibration_data.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <set>
#include <span>
#include <utility>

#include "ckpt/elements.h"
#include "ckpt/network/element_kind.h"
#include "cli/run_values.h"

namespace ckpt::cli {
namespace {

using execution::Array;
using network::Network;

Error Usage(std::string message, const std::string& file = {}) {
  return Error{ErrorCode::kInvalidArgument, std::move(message), file};
}

// "?x28x28x1"
std::string TextOf(const network::Sizes& shape) {
  std::string text;
  for (const std::int64_t size : shape) {
    text += text.empty() ? "" : "x";
    text += size == network::kUnknownSize ? "?" : std::to_string(size);
  }
  return text.empty() ? "()" : text;
}

// One array of a file.
struct Part {
  std::shared_ptr<const Checkpoint> file;
  TensorId tensor;
  const TensorInfo& info() const { return file->manifest().tensors[tensor.index]; }
};

// The arrays of one input behind one another, read front to back, and again from the front.
class JoinedArrays {
 public:
  std::vector<Part> parts = {};
  network::Sizes shape = {};  // of all together

  std::uint64_t elements_of_example() const {
    std::uint64_t count = 1;
    for (std::size_t i = 1; i < shape.size(); ++i) count *= static_cast<std::uint64_t>(shape[i]);
    return count;
  }
  Array Empty(std::uint64_t examples) const {
    Array array{shape, {}, network::KindOf(parts.front().info().dtype)};
    array.shape[0] = static_cast<std::int64_t>(examples);
    array.elements.resize(static_cast<std::size_t>(examples * elements_of_example()));
    return array;
  }
  Result<Array> Read(std::uint64_t begin, std::uint64_t examples) {
    const std::uint64_t wanted = begin * elements_of_example();
    if (wanted < position_) Rewind();
    while (position_ < wanted) {
      CKPT_RETURN_IF_ERROR(Fill());
      const std::uint64_t left = rest_.size() / width();
      Advance(static_cast<std::size_t>(std::min(left, wanted - position_)));
    }
    Array array = Empty(examples);
    for (std::span<double> out = array.elements; !out.empty();) {
      CKPT_RETURN_IF_ERROR(Fill());
      const std::size_t count = std::min(out.size(), rest_.size() / width());
      DecodeToDouble(parts[part_].info().dtype, rest_.first(count * width()), out.first(count));
      out = out.subspan(count);
      Advance(count);
    }
    return array;
  }

 private:
  std::size_t width() const { return BitSize(parts[part_].info().dtype) / 8; }
  void Advance(std::size_t elements) {
    rest_ = rest_.subspan(elements * width());
    position_ += elements;
  }
  void Rewind() {
    stream_.reset();
    rest_ = {};
    part_ = 0;
    position_ = 0;
  }
  // Until there is an element.
  Status Fill() {
    while (rest_.empty()) {
      if (stream_ == nullptr) {
        CKPT_ASSIGN_OR_RETURN(stream_, parts[part_].file->Open(parts[part_].tensor));
      }
      CKPT_ASSIGN_OR_RETURN(rest_, stream_->Next());
      if (!rest_.empty()) break;
      stream_.reset();
      if (++part_ == parts.size()) {
        part_ = 0;
        return Fail(ErrorCode::kCorrupt, "the arrays hold fewer elements than their headers say");
      }
    }
    return {};
  }

  std::size_t part_ = 0;
  std::unique_ptr<TensorStream> stream_;
  std::span<const std::byte> rest_;  // of the stream's last chunk
  std::uint64_t position_ = 0;       // in elements, from the first part on
};

// Keeps no data: each piece is read when it is wanted.
class StoredExamples : public ExampleSource {
 public:
  explicit StoredExamples(std::vector<JoinedArrays> inputs) : inputs_(std::move(inputs)) {}
  std::uint64_t count() const noexcept override {
    return static_cast<std::uint64_t>(inputs_.front().shape[0]);
  }
  Result<std::vector<Array>> Read(std::uint64_t begin, std::uint64_t count) const override {
    std::vector<Array> arrays;
    for (JoinedArrays& input : inputs_) {
      CKPT_ASSIGN_OR_RETURN(Array array, input.Read(begin, count));
      arrays.push_back(std::move(array));
    }
    return arrays;
  }

 private:
  mutable std::vector<JoinedArrays> inputs_;  // where their streams stand
};

class Reading {
 public:
  Reading(const Network& net, const CommonOptions& options, std::uint64_t most_bytes)
      : net_(net), options_(options), most_bytes_(most_bytes), joined_(net.inputs.size()) {}

  // A file, or all .npz and .npy of a folder in the order of their names.
  Status Add(const std::string& path) {
    std::error_code ignored;
    if (!std::filesystem::is_directory(path, ignored)) return AddFile(path);
    std::set<std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(path, ignored)) {
      const std::string name = entry.path().string();
      if (name.ends_with(".npz") || name.ends_with(".npy")) files.insert(name);
    }
    if (files.empty()) return Fail(Usage("the folder holds no .npz and no .npy", path));
    for (const std::string& file : files) CKPT_RETURN_IF_ERROR(AddFile(file));
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
    CKPT_ASSIGN_OR_RETURN(const auto file, Open(path));
    if (file->manifest().tensors.size() != 1) {
      return Fail(Usage("does not hold exactly one array", path));
    }
    return Join(*input, {file, TensorId{0}}, path);
  }

  Result<CalibrationData> Take() {
    CalibrationData data;
    for (std::size_t i = 0; i < joined_.size(); ++i) {
      const std::string& name = net_.inputs[i].name;
      if (joined_[i].parts.empty()) {
        return Fail(Usage("no data are given for the input \"" + name + "\""));
      }
      if (joined_[i].shape[0] != joined_[0].shape[0]) {
        return Fail(Usage("the inputs \"" + net_.inputs[0].name + "\" and \"" + name +
                          "\" have other numbers of examples"));
      }
      CKPT_ASSIGN_OR_RETURN(DataRange range, RangeOf(name, joined_[i]));
      data.ranges.push_back(std::move(range));
    }
    if (joined_.empty()) return Fail(ErrorCode::kUnfit, "the network has no input");
    data.examples = std::make_unique<StoredExamples>(std::move(joined_));
    data.files = std::move(files_);
    return data;
  }

 private:
  Result<std::shared_ptr<const Checkpoint>> Open(const std::string& path) {
    CKPT_ASSIGN_OR_RETURN(auto file, OpenArrays(options_, path));
    files_.push_back(path);
    return std::shared_ptr<const Checkpoint>(std::move(file));
  }

  Status AddFile(const std::string& path) {
    CKPT_ASSIGN_OR_RETURN(const auto file, Open(path));
    const auto& arrays = file->manifest().tensors;
    for (std::uint32_t i = 0; i < arrays.size(); ++i) {
      const std::string name = path.ends_with(".npy") ? std::string() : arrays[i].name;
      const auto input = InputOf(name, arrays.size());
      if (!input) {
        return Fail(Usage("the array \"" + name + "\" is for no input; the network's inputs are " +
                              Inputs() + " (--data-input NAME=FILE says which)",
                          path));
      }
      CKPT_RETURN_IF_ERROR(Join(*input, {file, TensorId{i}}, path));
    }
    return {};
  }

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
  Status Join(std::size_t input, const Part& part, const std::string& path) {
    const TensorInfo& info = part.info();
    CKPT_RETURN_IF_ERROR(CheckNumbers(info, path));
    const network::Sizes shape(info.shape.dims().begin(), info.shape.dims().end());
    const network::PartialShape& wanted = net_.value(net_.inputs[input].value).shape;
    if (info.shape.element_count() == 0 || shape.empty() ||
        (wanted && !FitsBehind(*wanted, shape))) {
      const std::string of_input = wanted ? ", and the network takes " + TextOf(*wanted) : "";
      return Fail(Usage("the array for \"" + net_.inputs[input].name + "\" is of shape " +
                            TextOf(shape) + of_input,
                        path));
    }
    const auto examples = static_cast<std::uint64_t>(shape[0]);
    if (info.shape.element_count() / examples > most_bytes_ / sizeof(double)) {
      return Fail(
          Error{ErrorCode::kLimitExceeded, "one example takes more than the memory that is allowed"}
              .In(path)
              .Of(info.name));
    }
    JoinedArrays& joined = joined_[input];
    if (joined.parts.empty()) {
      joined.shape = shape;
    } else if (!FitsBehind(joined.shape, shape)) {
      return Fail(Usage("its array is of shape " + TextOf(shape) +
                            ", and those of the files before " + TextOf(joined.shape),
                        path));
    } else {
      joined.shape[0] += shape[0];
    }
    joined.parts.push_back(part);
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

  // Read once for that, piece by piece.
  static Result<DataRange> RangeOf(const std::string& name, JoinedArrays& joined) {
    constexpr std::uint64_t kElements = std::uint64_t{1} << 20;
    const auto all = static_cast<std::uint64_t>(joined.shape[0]);
    const std::uint64_t step = std::max<std::uint64_t>(1, kElements / joined.elements_of_example());
    DataRange range{name, joined.shape, HUGE_VAL, -HUGE_VAL, 0, 0};
    double count = 0, squares = 0;
    for (std::uint64_t begin = 0; begin < all; begin += step) {
      CKPT_ASSIGN_OR_RETURN(const Array array, joined.Read(begin, std::min(step, all - begin)));
      for (const double element : array.elements) {
        range.least = std::min(range.least, element);
        range.most = std::max(range.most, element);
        const double delta = element - range.mean;
        range.mean += delta / ++count;
        squares += delta * (element - range.mean);
      }
    }
    range.deviation = std::sqrt(squares / count);
    return range;
  }

  const Network& net_;
  const CommonOptions& options_;
  const std::uint64_t most_bytes_;
  std::vector<JoinedArrays> joined_;  // by input
  std::vector<std::string> files_;
};

}  // namespace

Result<CalibrationData> ReadCalibrationData(const DataFiles& data, const Network& network,
                                            const CommonOptions& options,
                                            std::uint64_t most_bytes) {
  Reading reading(network, options, most_bytes);
  for (const std::string& path : data.files) CKPT_RETURN_IF_ERROR(reading.Add(path));
  for (const std::string& text : data.inputs) CKPT_RETURN_IF_ERROR(reading.AddInput(text));
  return reading.Take();
}

}  // namespace ckpt::cli
