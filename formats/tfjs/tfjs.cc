#include "formats/tfjs/tfjs.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "ckpt/elements.h"
#include "formats/container/stored_tensors.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/json_events.h"
#include "formats/keras/h5/bind_weights.h"
#include "formats/keras/model/model_config.h"
#include "formats/keras/model/network.h"
#include "formats/keras/model/weight_order.h"
#include "formats/tfjs/weights_manifest.h"

namespace ckpt::formats {
namespace {

namespace fs = std::filesystem;
using keras::Find;
using keras::Json;
using SharedFile = StoredTensors::SharedFile;

std::string TextOf(const Json* json) {
  return json != nullptr && json->is_string() ? json->get<std::string>() : std::string();
}

// Stored elements to those of the model.
std::function<void(std::span<const std::byte>, std::vector<std::byte>&)> Decoder(
    const TfjsWeight& weight) {
  if (weight.stored == weight.dtype) return {};
  return [stored = weight.stored, to = weight.dtype, scaled = weight.scaled, min = weight.min,
          scale = weight.scale](std::span<const std::byte> in, std::vector<std::byte>& out) {
    std::vector<double> values(in.size() / (BitSize(stored) / 8));
    DecodeToDouble(stored, in, values);
    if (scaled) {
      for (double& value : values) {
        value = value * scale + min;
        if (to == Dtype::kI32) value = std::round(value);
      }
    }
    out.resize(values.size() * (BitSize(to) / 8));
    EncodeFromDouble(to, values, out);
  };
}

class Opener {
 public:
  Opener(const Files& files, fs::path path) : files_(files), path_(std::move(path)) {
    manifest_.resolved = path_.string();
    manifest_.files = {manifest_.resolved};
    manifest_.framework = Framework::kKeras;
  }

  Status Read(const Json& model) {
    const Json* weights = Find(model, "weightsManifest");
    const Json* topology = Find(model, "modelTopology");
    if (TextOf(Find(model, "format")) == "graph-model") {
      return Fail(About(ErrorCode::kUnsupported,
                        "is a TensorFlow.js graph model, which holds a GraphDef; layers models are "
                        "read"));
    }
    if (weights == nullptr) return Fail(About(ErrorCode::kCorrupt, "has no weightsManifest"));
    auto groups = ReadWeightsManifest(*weights);
    if (!groups) {
      Error error = groups.error();
      error.file = path_.string();
      return Fail(std::move(error));
    }
    for (const TfjsGroup& group : *groups) CKPT_RETURN_IF_ERROR(AddGroup(group));
    CKPT_RETURN_IF_ERROR(SortByName(manifest_, tensors_));
    for (const char* key : {"generatedBy", "convertedBy"}) {
      const std::string text = TextOf(Find(model, key));
      if (!text.empty()) manifest_.metadata[key] = text;
    }
    if (topology != nullptr) ReadTopology(*topology);
    return {};
  }

  std::unique_ptr<Checkpoint> Finish() {
    auto opened = std::make_unique<StoredTensors>("tfjs", std::move(manifest_), std::move(opened_),
                                                  std::move(tensors_));
    opened->set_network([version = config_version_](const Manifest& manifest) {
      return keras::NetworkOf(manifest, version);
    });
    return opened;
  }

 private:
  Error About(ErrorCode code, std::string message) const {
    return Error{code, std::move(message)}.In(path_.string());
  }

  Status AddGroup(const TfjsGroup& group) {
    std::uint64_t needed = 0, there = 0;
    for (const TfjsWeight& weight : group.weights) {
      if (!CheckedAdd(needed, weight.stored_bytes, &needed)) {
        return Fail(About(ErrorCode::kCorrupt, "has more bytes of weights than can be counted"));
      }
    }
    std::vector<FileRange> ranges;
    std::optional<Error> fault;
    for (const std::string& name : group.paths) {
      auto file = files_.OpenBeneath(path_.parent_path(), name);
      if (!file) {
        fault = file.error();
        break;
      }
      ranges.push_back({opened_.size(), 0, (*file)->size()});
      there += (*file)->size();
      manifest_.files.push_back((path_.parent_path() / name).string());
      opened_.push_back(*std::move(file));
    }
    if (!fault && there != needed) {
      fault =
          Error{ErrorCode::kCorrupt, "the files have " + std::to_string(there) +
                                         " bytes, where the weights take " + std::to_string(needed)}
              .In(group.paths.empty() ? path_.string()
                                      : (path_.parent_path() / group.paths.front()).string());
    }
    const std::uint64_t before = tensors_.size();
    std::uint64_t begin = 0;
    for (const TfjsWeight& weight : group.weights) {
      Add(weight, fault ? std::vector<FileRange>() : Cut(ranges, begin, weight.stored_bytes),
          !fault.has_value());
      begin += weight.stored_bytes;
    }
    if (!fault) return {};
    Problem problem{*std::move(fault), {}};
    for (std::uint64_t i = before; i < tensors_.size(); ++i) {
      problem.tensors.push_back(TensorId{static_cast<std::uint32_t>(i)});
    }
    manifest_.problems.push_back(std::move(problem));
    return {};
  }

  // The part [begin, begin + size) of the files' bytes as one sequence.
  static std::vector<FileRange> Cut(const std::vector<FileRange>& files, std::uint64_t begin,
                                    std::uint64_t size) {
    std::vector<FileRange> parts;
    for (const FileRange& file : files) {
      if (size == 0) break;
      if (begin >= file.size) {
        begin -= file.size;
        continue;
      }
      const std::uint64_t part = std::min(size, file.size - begin);
      parts.push_back({file.file, begin, part});
      size -= part;
      begin = 0;
    }
    return parts;
  }

  void Add(const TfjsWeight& weight, std::vector<FileRange> ranges, bool present) {
    TensorInfo info;
    info.name = info.stored_as = weight.name;
    info.dtype = weight.dtype;
    info.shape = weight.shape;
    info.byte_size = weight.shape.element_count() * (BitSize(weight.dtype) / 8);
    info.data_present = present;
    info.data_file = ranges.empty() ? path_.string() : manifest_.files[1 + ranges.front().file];
    if (weight.stored != weight.dtype) {
      manifest_.metadata["quantization of " + weight.name] = std::string(Name(weight.stored));
    }
    StoredTensor stored;
    stored.ranges = std::move(ranges);
    stored.decode = Decoder(weight);
    stored.stored_element_bytes = BitSize(weight.stored) / 8;
    listed_.push_back(weight.name);
    manifest_.tensors.push_back(std::move(info));
    tensors_.push_back(std::move(stored));
  }

  void ReadTopology(const Json& topology) {
    std::string version = TextOf(Find(topology, "keras_version"));
    if (!version.empty()) manifest_.metadata["keras_version"] = version;
    // TensorFlow.js gives its own version here; its configs are those of Keras 2.
    const bool own = version.empty() || version.starts_with("tfjs");
    if (own) version = "2";
    if (version != "2") manifest_.framework_version = version;
    // It resizes without half pixels, as Keras 2.2 did.
    config_version_ = own ? "2.2." : version;
    const Json* config = Find(topology, "model_config");
    if (config == nullptr) config = &topology;
    const std::string text = keras::DumpConfigJson(*config);
    auto parsed = keras::ParseModelConfig(text, version);
    Status bound = parsed ? Bind(**parsed, version) : Status(Fail(parsed));
    if (bound) {
      manifest_.documents.push_back({"model_config", text});
      manifest_.graph = std::move((*parsed)->graph);
      keras::SayComputations(**parsed, config_version_, manifest_);
    } else {
      manifest_.metadata["model_config"] = "not used: " + bound.error().message;
    }
  }

  // Weights are listed layer by layer.
  Status Bind(keras::ModelConfig& config, const std::string& version) {
    keras::WeightOrder order;
    std::map<std::string, std::size_t> group_of;
    for (const std::string& name : listed_) {
      const std::string layer = name.substr(0, name.find('/'));
      const auto [found, is_new] = group_of.try_emplace(layer, order.groups.size());
      if (is_new) order.groups.emplace_back().layer = layer;
      order.groups[found->second].weights.push_back({name, name});
    }
    return keras::BindWeights(config, order, keras::KerasMajor(version), manifest_.tensors);
  }

  const Files& files_;
  fs::path path_;
  Manifest manifest_;
  std::vector<SharedFile> opened_;  // as manifest_.files from the second on
  std::vector<StoredTensor> tensors_;
  std::string config_version_;       // whose config the topology is
  std::vector<std::string> listed_;  // the weights in the order of the file
};

}  // namespace

Match ProbeTfjs(const ProbeInput& input) {
  const std::string_view head(reinterpret_cast<const char*>(input.head.data()), input.head.size());
  const std::size_t start = SkipJsonSpace(head);
  if (start >= head.size() || head[start] != '{') return Match::kNo;
  const std::string_view tail(reinterpret_cast<const char*>(input.tail.data()), input.tail.size());
  if (head.find("\"weightsManifest\"") == std::string_view::npos &&
      tail.find("\"weightsManifest\"") == std::string_view::npos) {
    // Between a long topology and a long manifest the key is seen from neither end.
    const bool long_file = input.file_size > head.size() + tail.size();
    const bool has_topology = head.find("\"modelTopology\"") != std::string_view::npos;
    return long_file && has_topology ? Match::kLikely : Match::kNo;
  }
  const bool names_it = head.find("\"modelTopology\"") != std::string_view::npos ||
                        head.find("\"layers-model\"") != std::string_view::npos ||
                        head.find("\"graph-model\"") != std::string_view::npos;
  return names_it ? Match::kCertain : Match::kLikely;
}

Result<std::unique_ptr<Checkpoint>> OpenTfjs(const Files& files, const fs::path& path,
                                             const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const auto file, files.Open(path));
  CKPT_ASSIGN_OR_RETURN(
      const std::string text,
      ReadWhole(*file, std::min<std::uint64_t>(keras::kMaxConfigBytes, limits.metadata_bytes)));
  const auto model = keras::ParseConfigJson(text);
  if (!model) {
    Error error = model.error();
    error.file = path.string();
    return Fail(std::move(error));
  }
  Opener opener(files, path);
  CKPT_RETURN_IF_ERROR(opener.Read(*model));
  return opener.Finish();
}

}  // namespace ckpt::formats
