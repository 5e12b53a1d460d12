#include <algorithm>
#include <array>
#include <map>
#include <numeric>
#include <utility>

#include "ckpt/layer_computation.h"
#include "formats/container/range_stream.h"
#include "formats/encoding/byte_reader.h"
#include "formats/onnx/external_data.h"
#include "formats/onnx/flat_model.h"
#include "formats/onnx/graph_constants.h"
#include "formats/onnx/graph_values.h"
#include "formats/onnx/inner_batch_norms.h"
#include "formats/onnx/layer_origins.h"
#include "formats/onnx/model_graph.h"
#include "formats/onnx/model_scan.h"
#include "formats/onnx/network.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/onnx_dtype.h"
#include "formats/onnx/tensor_data.h"
#include "formats/onnx/tensor_places.h"
#include "formats/onnx/wire.h"

namespace ckpt::formats {
namespace {

using onnx::DataSegment;
using onnx::OnnxDtype;
using onnx::TensorPlace;
using onnx::TensorPlaceKind;
using onnx_proto::TensorProto;
using SharedFile = std::shared_ptr<const RandomAccessFile>;

constexpr std::uint64_t kInlineBytes = 1024;    // of an attribute: part of the graph
constexpr std::uint64_t kSmallElements = 1024;  // of a constant that says how a node works
constexpr std::int64_t kMaxIrVersion = 100;     // 14 is the newest known

// Where the bytes of one tensor are.
struct Stored {
  SharedFile file = {};  // null: in `text`, or not to be had
  std::vector<DataSegment> segments = {};
  const OnnxDtype* dtype = nullptr;
  std::string text = {};  // strings, as a stream yields them
};

class OnnxCheckpoint : public Checkpoint, public RecordsOrigins {
 public:
  OnnxCheckpoint(Manifest manifest, std::vector<Stored> stored)
      : manifest_(std::move(manifest)), stored_(std::move(stored)) {}

  std::string_view format() const noexcept override { return "onnx"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const TensorInfo& info = manifest_.tensors[id.index];
    const Stored& stored = stored_[id.index];
    if (!info.data_present) return Fail(WhyAbsent(manifest_, id));
    if (info.dtype == Dtype::kString) return onnx::StreamBytes(stored.text);
    return onnx::StreamSegments(stored.file, stored.segments, *stored.dtype, info.byte_size,
                                info.name);
  }

  Result<network::Network> MakeNetwork() const override {
    for (const Document& document : manifest_.documents) {
      if (document.name != onnx::kModelDocument) continue;
      CKPT_ASSIGN_OR_RETURN(auto model, onnx::ParseModel(document.text));
      auto network = onnx::MakeNetwork(model, *this);
      if (!network && network.error().file.empty()) network.error().file = manifest_.resolved;
      return network;
    }
    return Checkpoint::MakeNetwork();
  }

  const std::vector<LayerOrigin>& origins() const noexcept override { return origins_; }

  Manifest& mutable_manifest() { return manifest_; }
  void set_origins(std::vector<LayerOrigin> origins) { origins_ = std::move(origins); }

 private:
  Manifest manifest_;
  std::vector<Stored> stored_;
  std::vector<LayerOrigin> origins_ = {};
};

std::string StringsAsStream(const TensorProto& tensor) {
  std::string text;
  for (const std::string& element : tensor.string_data()) {
    for (unsigned shift = 0; shift < 64; shift += 8) {
      text += static_cast<char>((static_cast<std::uint64_t>(element.size()) >> shift) & 0xFF);
    }
    text += element;
  }
  return text;
}

class Opener {
 public:
  Opener(const Files& files, const std::filesystem::path& path, const Limits& limits)
      : files_(files), path_(path), limits_(limits) {}

  Result<std::unique_ptr<Checkpoint>> Open() {
    CKPT_ASSIGN_OR_RETURN(file_, files_.Open(path_));
    CKPT_ASSIGN_OR_RETURN(auto scanned, onnx::ScanModel(*file_, limits_));
    places_ = std::move(scanned.places);
    auto model = onnx::ParseModel(scanned.skeleton);
    if (!model) return Fail(InFile(model.error()));
    scanned.skeleton.clear();
    scanned.skeleton.shrink_to_fit();
    model_ = *std::move(model);
    CKPT_RETURN_IF_ERROR(CheckVersions());
    manifest_.resolved = path_.string();
    manifest_.files = {path_.string()};
    CKPT_RETURN_IF_ERROR(ReadTensors());
    Sort();
    FillMetadata();
    if (!problems_.empty()) TakeProblems();
    auto document = std::string();
    if (!model_.SerializeToString(&document)) {
      return Fail(InFile({ErrorCode::kInternal, "the graph cannot be kept"}));
    }
    manifest_.documents.push_back({std::string(onnx::kModelDocument), std::move(document)});
    auto checkpoint = std::make_unique<OnnxCheckpoint>(std::move(manifest_), std::move(stored_));
    BuildGraph(*checkpoint);
    return std::unique_ptr<Checkpoint>(std::move(checkpoint));
  }

 private:
  Error InFile(Error error) const {
    if (error.file.empty()) error.file = path_.string();
    return error;
  }

  Status CheckVersions() const {
    if (!model_.has_graph()) {
      return Fail(InFile({ErrorCode::kCorrupt, "is no ONNX model: it has no graph"}));
    }
    if (model_.ir_version() < 1 || model_.ir_version() > kMaxIrVersion) {
      return Fail(
          InFile({ErrorCode::kUnsupported, "has IR version " + std::to_string(model_.ir_version()) +
                                               ", which ONNX does not have"}));
    }
    return {};
  }

  Status ReadTensors() {
    auto places = onnx::TensorPlacesOf(model_);
    if (!places) return Fail(InFile(places.error()));
    if (places->size() > limits_.tensors) {
      return Fail(InFile(
          {ErrorCode::kLimitExceeded, "has " + std::to_string(places->size()) + " tensors"}));
    }
    for (const TensorPlace& place : *places) {
      if (Status status = ReadTensor(place); !status) {
        Error error = InFile(status.error());
        error.tensor = place.name;
        return Fail(std::move(error));
      }
    }
    return {};
  }

  Status ReadTensor(const TensorPlace& place) {
    TensorProto& tensor = *place.tensor;
    if (place.name.size() > limits_.name_bytes) {
      return Fail(ErrorCode::kLimitExceeded,
                  "has a name of " + std::to_string(place.name.size()) + " bytes");
    }
    Stored stored;
    stored.dtype = onnx::FindOnnxDtype(tensor.data_type());
    if (stored.dtype == nullptr) {
      return Fail(
          tensor.data_type() == 0 ? ErrorCode::kCorrupt : ErrorCode::kUnsupported,
          "has the data type " + std::to_string(tensor.data_type()) + ", which is not known here");
    }
    if (tensor.has_segment()) {
      return Fail(ErrorCode::kUnsupported, "is one segment of a tensor, which nothing writes");
    }
    TensorInfo info;
    info.name = info.stored_as = place.name;
    info.dtype = stored.dtype->dtype;
    info.data_file = path_.string();
    const std::vector<std::int64_t> dims(tensor.dims().begin(), tensor.dims().end());
    CKPT_ASSIGN_OR_RETURN(info.shape, Shape::FromDims(dims));
    if (tensor.has_data_place()) {
      if (tensor.data_place() >= places_.size()) {
        return Fail(ErrorCode::kCorrupt, "has a field that ONNX does not have");
      }
      stored.segments = std::move(places_[tensor.data_place()]);
      tensor.clear_data_place();
    }
    if (info.dtype == Dtype::kString) {
      CKPT_RETURN_IF_ERROR(ReadStrings(tensor, info, stored));
    } else {
      CKPT_RETURN_IF_ERROR(ReadData(tensor, info, stored));
    }
    if (place.kind == TensorPlaceKind::kAttribute && info.byte_size <= kInlineBytes &&
        stored.file == file_) {
      return KeepInGraph(tensor, info, std::move(stored));
    }
    tensor.set_data_place(static_cast<std::uint32_t>(manifest_.tensors.size()));
    manifest_.tensors.push_back(std::move(info));
    stored_.push_back(std::move(stored));
    return {};
  }

  Status ReadStrings(TensorProto& tensor, TensorInfo& info, Stored& stored) const {
    if (onnx::IsExternal(tensor) || !stored.segments.empty()) {
      return Fail(ErrorCode::kCorrupt, "holds strings, and not where strings are");
    }
    if (static_cast<std::uint64_t>(tensor.string_data_size()) != info.shape.element_count()) {
      return Fail(ErrorCode::kCorrupt, "has " + std::to_string(tensor.string_data_size()) +
                                           " strings, and its shape asks for " +
                                           std::to_string(info.shape.element_count()));
    }
    stored.text = StringsAsStream(tensor);
    stored.file = file_;
    info.byte_size = stored.text.size();
    return {};
  }

  Status ReadData(TensorProto& tensor, TensorInfo& info, Stored& stored) {
    CKPT_ASSIGN_OR_RETURN(info.byte_size,
                          onnx::DecodedBytes(info.dtype, info.shape.element_count()));
    if (tensor.string_data_size() != 0) {
      return Fail(ErrorCode::kCorrupt, "has strings, and its type is another");
    }
    if (!onnx::IsExternal(tensor)) {
      CKPT_RETURN_IF_ERROR(onnx::CheckSegments(stored.segments, *stored.dtype, info.byte_size));
      stored.file = file_;
      return {};
    }
    if (!stored.segments.empty()) {
      return Fail(ErrorCode::kCorrupt, "has its data twice, here and in another file");
    }
    return ReadExternal(tensor, info, stored);
  }

  Status ReadExternal(TensorProto& tensor, TensorInfo& info, Stored& stored) {
    CKPT_ASSIGN_OR_RETURN(const onnx::ExternalData external, onnx::ReadExternalData(tensor));
    std::string location = external.location;
    while (location.starts_with("./")) location.erase(0, 2);
    auto known = external_.find(location);
    if (known == external_.end()) {
      auto opened = files_.OpenBeneath(path_.parent_path(), location);
      if (!opened && opened.error().code != ErrorCode::kNotFound) return Fail(opened);
      ExternalFile entry;
      entry.path = (path_.parent_path() / location).string();
      if (opened) {
        entry.file = *std::move(opened);
        manifest_.files.push_back(entry.file->path());
      } else {
        entry.absent = opened.error();
      }
      known = external_.emplace(location, std::move(entry)).first;
    }
    const ExternalFile& file = known->second;
    info.data_file = file.path;
    tensor.clear_external_data();
    tensor.clear_data_location();
    if (external.length && *external.length != info.byte_size) {
      return Fail(ErrorCode::kCorrupt, "its external data has " + std::to_string(*external.length) +
                                           " bytes, and its shape asks for " +
                                           std::to_string(info.byte_size));
    }
    if (!file.file) {
      AddProblem(location, file.absent);
      info.data_present = false;
    } else if (!RangeFits(external.offset, info.byte_size, file.file->size())) {
      AddProblem(location, Error{ErrorCode::kCorrupt,
                                 "ends before the data of tensors: it has " +
                                     std::to_string(file.file->size()) + " bytes",
                                 file.path,
                                 external.offset,
                                 {}});
      info.data_present = false;
    } else {
      stored.file = file.file;
      if (info.byte_size != 0) {
        stored.segments = {{onnx::DataField::kRaw, true, external.offset, info.byte_size}};
      }
    }
    return {};
  }

  void AddProblem(const std::string& location, Error error) {
    auto [known, is_new] = problems_.emplace(location, Problem{std::move(error), {}});
    known->second.tensors.push_back({static_cast<std::uint32_t>(manifest_.tensors.size())});
  }

  Status KeepInGraph(TensorProto& tensor, const TensorInfo& info, Stored stored) {
    if (info.dtype == Dtype::kString || info.byte_size == 0) return {};
    const auto stream = onnx::StreamSegments(stored.file, std::move(stored.segments), *stored.dtype,
                                             info.byte_size, info.name);
    std::string bytes;
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
      if (chunk.empty()) break;
      bytes.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    }
    tensor.set_raw_data(std::move(bytes));
    return {};
  }

  void Sort() {
    std::vector<std::uint32_t> order(manifest_.tensors.size());
    std::iota(order.begin(), order.end(), 0U);
    std::sort(order.begin(), order.end(), [&](std::uint32_t a, std::uint32_t b) {
      return manifest_.tensors[a].name < manifest_.tensors[b].name;
    });
    std::vector<TensorInfo> tensors;
    std::vector<Stored> stored;
    sorted_.resize(order.size());
    for (const std::uint32_t from : order) {
      sorted_[from] = static_cast<std::uint32_t>(tensors.size());
      tensors.push_back(std::move(manifest_.tensors[from]));
      stored.push_back(std::move(stored_[from]));
    }
    manifest_.tensors = std::move(tensors);
    stored_ = std::move(stored);
  }

  void TakeProblems() {
    for (auto& [location, problem] : problems_) {
      for (TensorId& id : problem.tensors) id.index = sorted_[id.index];
      manifest_.problems.push_back(std::move(problem));
    }
  }

  void FillMetadata() {
    auto& metadata = manifest_.metadata;
    for (const auto& entry : model_.metadata_props()) metadata[entry.key()] = entry.value();
    metadata["ir_version"] = std::to_string(model_.ir_version());
    if (!model_.producer_name().empty()) metadata["producer_name"] = model_.producer_name();
    if (!model_.producer_version().empty())
      metadata["producer_version"] = model_.producer_version();
    std::string opsets;
    for (const auto& opset : model_.opset_import()) {
      opsets += (opsets.empty() ? "" : ", ") +
                (opset.domain().empty() ? std::string("ai.onnx") : opset.domain()) + " " +
                std::to_string(opset.version());
    }
    metadata["opset_import"] = opsets;
    if (model_.producer_name() == "pytorch") {
      manifest_.framework = Framework::kPyTorch;
      manifest_.framework_version = model_.producer_version();
    }
    const auto& graph = model_.graph();
    const auto overridable =
        std::count_if(graph.input().begin(), graph.input().end(), [&](const auto& input) {
          const auto& tensors = manifest_.tensors;
          const auto found = std::lower_bound(
              tensors.begin(), tensors.end(), input.name(),
              [](const TensorInfo& info, const std::string& name) { return info.name < name; });
          return found != tensors.end() && found->name == input.name();
        });
    if (model_.ir_version() >= 4 && overridable != 0) {
      manifest_.note = std::to_string(overridable) +
                       " initializers are inputs of the graph as well, which a caller may give "
                       "other values; they are taken as constants";
    }
  }

  void BuildGraph(OnnxCheckpoint& checkpoint) {
    std::map<std::string, std::uint32_t, std::less<>> ids;
    const auto& tensors = checkpoint.manifest().tensors;
    for (std::uint32_t i = 0; i < tensors.size(); ++i) ids.emplace(tensors[i].name, i);
    const onnx::TensorLookup lookup = {
        [&](const std::string& name) -> std::optional<TensorId> {
          const auto found = ids.find(name);
          return found == ids.end() ? std::nullopt : std::optional(TensorId{found->second});
        },
        [&](TensorId id) -> std::optional<std::vector<double>> {
          const TensorInfo& info = tensors[id.index];
          if (!IsReal(info.dtype) || info.shape.element_count() > kSmallElements) return {};
          auto elements = ReadDoubles(checkpoint, id, kSmallElements);
          return elements ? std::optional(*std::move(elements)) : std::nullopt;
        }};
    Manifest& manifest = checkpoint.mutable_manifest();
    onnx::FlatModel flat = onnx::FlattenModel(model_);
    onnx_proto::ModelProto& model = flat.model ? *flat.model : model_;
    manifest.graph = onnx::BuildModelGraph(model, checkpoint, lookup);
    const auto inner = onnx::FindInnerBatchNorms(model, lookup, flat.kept);
    AddInnerBatchNorms(inner, manifest);
    NoteScales(manifest);
    checkpoint.set_origins(onnx::LayerOriginsOf(model, checkpoint.manifest()));
    onnx::MarkGraphConstants(model.graph(), checkpoint.mutable_manifest());
  }

  static void AddNote(const std::string& note, Manifest& manifest) {
    if (!note.empty()) manifest.note += (manifest.note.empty() ? "" : "; ") + note;
  }

  static void AddInnerBatchNorms(const onnx::InnerBatchNorms& inner, Manifest& manifest) {
    AddNote(onnx::NoteOn(inner), manifest);
    auto& layers = manifest.graph->layers;
    layers.insert(layers.end(), inner.layers.begin(), inner.layers.end());
  }

  static void NoteScales(Manifest& manifest) {
    const auto& layers = manifest.graph->layers;
    const auto scales = std::count_if(layers.begin(), layers.end(), ScalesChannels);
    if (scales == 0) return;
    AddNote(std::to_string(scales) +
                (scales == 1 ? " convolution or product is" : " convolutions or products are") +
                " followed by a multiplication and an addition of constants for each channel, as a "
                "frozen batch norm is exported: without statistics that could be judged; a fold "
                "takes them",
            manifest);
  }

  struct ExternalFile {
    std::string path = {};
    SharedFile file = {};
    Error absent = {};
  };

  const Files& files_;
  const std::filesystem::path& path_;
  const Limits& limits_;
  SharedFile file_;
  std::vector<std::vector<DataSegment>> places_;
  onnx_proto::ModelProto model_;
  Manifest manifest_;
  std::vector<Stored> stored_;
  std::vector<std::uint32_t> sorted_;  // from the order of the file
  std::map<std::string, ExternalFile> external_;
  std::map<std::string, Problem> problems_;  // by location
};

// The fields of a ModelProto that stand before its graph, and no others.
bool IsModelField(std::uint64_t number, onnx::WireType type) {
  const bool is_number = type == onnx::WireType::kVarint;
  if (number == 1 || number == 5) return is_number;
  const bool known = number <= 8 || number == 14 || number == 20 || number == 25 || number == 26;
  return number != 0 && known && type == onnx::WireType::kLength;
}

}  // namespace

Match ProbeOnnx(const ProbeInput& input) {
  const Match by_suffix = input.file_name.ends_with(".onnx") ? Match::kLikely : Match::kNo;
  ByteReader reader(input.head);
  bool versioned = false;
  while (reader.ok() && reader.remaining() != 0) {
    const std::uint64_t tag = reader.Varint64();
    const std::uint64_t number = tag >> 3;
    const auto type = static_cast<onnx::WireType>(tag & 7);
    if (!reader.ok() || !IsModelField(number, type)) return by_suffix;
    const std::uint64_t value = reader.Varint64();
    if (!reader.ok()) return by_suffix;
    if (number == 1) versioned = value >= 1 && value <= static_cast<std::uint64_t>(kMaxIrVersion);
    if (number == 7) {
      const bool fits = RangeFits(reader.offset(), value, input.file_size);
      return fits && versioned ? Match::kCertain : by_suffix;
    }
    if (type == onnx::WireType::kLength) reader.Bytes(value);
  }
  return by_suffix;
}

Result<std::unique_ptr<Checkpoint>> OpenOnnx(const Files& files, const std::filesystem::path& path,
                                             const Limits& limits) {
  return Opener(files, path, limits).Open();
}

}  // namespace ckpt::formats
