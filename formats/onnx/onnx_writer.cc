#include <google/protobuf/io/coded_stream.h>

#include <algorithm>
#include <climits>
#include <map>
#include <set>
#include <utility>

#include "formats/container/output_tensor.h"
#include "formats/encoding/byte_reader.h"
#include "formats/onnx/dead_identities.h"
#include "formats/onnx/flat_model.h"
#include "formats/onnx/model_edits.h"
#include "formats/onnx/model_scan.h"
#include "formats/onnx/model_splice.h"
#include "formats/onnx/onnx.h"
#include "formats/onnx/onnx_dtype.h"
#include "formats/onnx/tensor_places.h"

namespace ckpt::formats {
namespace {

using onnx::TensorPlace;
using onnx::TensorPlaceKind;
using onnx_proto::GraphProto;
using onnx_proto::NodeProto;
using onnx_proto::TensorProto;

constexpr std::uint64_t kMaxMessageBytes = INT32_MAX;  // of one protocol buffer
constexpr std::uint64_t kExternalFrom = 1024;          // smaller tensors stay in the model
constexpr std::uint64_t kExternalAlignment = 4096;     // so that a runtime can map the data
constexpr std::uint64_t kMaxStringBytes = std::uint64_t{256} << 20;

tl::unexpected<Error> Refused(const TensorInfo& tensor, std::string message) {
  return Fail(Error{ErrorCode::kUnfit, std::move(message)}.Of(tensor.name));
}

// A model in which every listed tensor has the shape, and as data_place the index, of what is to be
// written for it.
class Filler {
 public:
  Filler(const OutputModel& output, onnx_proto::ModelProto& model)
      : output_(output), model_(model), placed_(output.tensors.size(), false) {}

  Status Fill() {
    CKPT_ASSIGN_OR_RETURN(const std::vector<TensorPlace> places, onnx::TensorPlacesOf(model_));
    for (const TensorPlace& place : places) {
      if (place.tensor->has_data_place()) CKPT_RETURN_IF_ERROR(FillPlace(place));
    }
    DropTensors();
    for (std::size_t i = 0; i < placed_.size(); ++i) {
      if (!placed_[i]) AddInitializer(i);
    }
    if (!dropped_.empty()) onnx::DropDeadIdentities(dropped_, *model_.mutable_graph());
    return CheckReferences();
  }

 private:
  Status FillPlace(const TensorPlace& place) {
    const auto found = std::lower_bound(
        output_.tensors.begin(), output_.tensors.end(), place.name,
        [](const TensorInfo& info, const std::string& name) { return info.name < name; });
    if (found == output_.tensors.end() || found->name != place.name) {
      if (place.kind == TensorPlaceKind::kInitializer || place.kind == TensorPlaceKind::kConstant) {
        dropped_.insert(place.name);
        return {};
      }
      return Fail(Error{ErrorCode::kUnfit,
                        "is needed by the graph and is not to be written",
                        {},
                        {},
                        place.name});
    }
    const auto* dtype = onnx::FindOnnxDtype(place.tensor->data_type());
    if (dtype == nullptr || dtype->dtype != found->dtype) {
      return Refused(*found, "the types of an ONNX graph are fixed: it cannot become " +
                                 std::string(Name(found->dtype)));
    }
    const auto index = static_cast<std::size_t>(found - output_.tensors.begin());
    placed_[index] = true;
    SetTensor(index, *place.tensor);
    return {};
  }

  void SetTensor(std::size_t index, TensorProto& tensor) const {
    const TensorInfo& info = output_.tensors[index];
    tensor.clear_dims();
    for (const std::int64_t dim : info.shape.dims()) tensor.add_dims(dim);
    tensor.clear_string_data();
    tensor.clear_data_place();
    if (info.byte_size != 0) tensor.set_data_place(static_cast<std::uint32_t>(index));
  }

  void AddInitializer(std::size_t index) {
    const TensorInfo& info = output_.tensors[index];
    TensorProto& tensor = *model_.mutable_graph()->add_initializer();
    tensor.set_name(info.name);
    tensor.set_data_type(onnx::OnnxDtypeOf(info.dtype)->number);
    SetTensor(index, tensor);
    if (model_.ir_version() >= 4) return;
    // Before, every initializer is an input as well.
    auto& input = *model_.mutable_graph()->add_input();
    input.set_name(info.name);
    auto& type = *input.mutable_type()->mutable_tensor_type();
    type.set_elem_type(tensor.data_type());
    for (const std::int64_t dim : info.shape.dims()) {
      type.mutable_shape()->add_dim()->set_dim_value(dim);
    }
  }

  template <class Field, class Test>
  static void EraseIf(Field& field, Test test) {
    field.erase(std::remove_if(field.begin(), field.end(), test), field.end());
  }

  void DropTensors() {
    GraphProto& graph = *model_.mutable_graph();
    EraseIf(*graph.mutable_initializer(),
            [&](const TensorProto& tensor) { return dropped_.contains(tensor.name()); });
    EraseIf(*graph.mutable_input(),
            [&](const auto& input) { return dropped_.contains(input.name()); });
    EraseIf(*graph.mutable_node(), [&](NodeProto& node) {
      return onnx::ConstantValue(node) != nullptr && dropped_.contains(node.output(0));
    });
    // An input whose tensor changed its shape.
    std::map<std::string, const TensorProto*> tensors;
    for (const TensorProto& tensor : graph.initializer()) tensors[tensor.name()] = &tensor;
    for (auto& input : *graph.mutable_input()) {
      const auto found = tensors.find(input.name());
      if (found == tensors.end() || !input.type().has_tensor_type()) continue;
      auto& shape = *input.mutable_type()->mutable_tensor_type()->mutable_shape();
      if (shape.dim_size() == found->second->dims_size()) continue;
      shape.clear_dim();
      for (const std::int64_t dim : found->second->dims()) shape.add_dim()->set_dim_value(dim);
    }
  }

  Status CheckReferences() const {
    if (dropped_.empty()) return {};
    const std::map<std::string, int> readers = onnx::CountReaders(model_.graph());
    for (const std::string& name : dropped_) {
      const auto found = readers.find(name);
      if (found == readers.end() || found->second == 0) continue;
      return Fail(
          Error{ErrorCode::kUnfit, "is needed by the graph and is not to be written"}.Of(name));
    }
    return {};
  }

  const OutputModel& output_;
  onnx_proto::ModelProto& model_;
  std::vector<bool> placed_;  // by index of the output's tensors
  std::set<std::string> dropped_;
};

// Strings have no raw data: they are put into the model themselves.
Status FillStrings(const OutputModel& output, onnx_proto::ModelProto& model) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<TensorPlace> places, onnx::TensorPlacesOf(model));
  for (const TensorPlace& place : places) {
    TensorProto& tensor = *place.tensor;
    if (!tensor.has_data_place()) continue;
    const TensorInfo& info = output.tensors[tensor.data_place()];
    if (info.dtype != Dtype::kString) continue;
    if (info.byte_size > kMaxStringBytes) return Refused(info, "holds too many strings");
    std::string bytes;
    CKPT_RETURN_IF_ERROR(PullTensor(output, tensor.data_place(), [&](auto chunk) -> Status {
      bytes.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
      return {};
    }));
    tensor.clear_data_place();
    ByteReader reader(std::as_bytes(std::span(bytes)));
    while (reader.ok() && reader.remaining() != 0) {
      tensor.add_string_data(std::string(reader.Text(reader.U64())));
    }
    if (!reader.ok()) return Fail(reader.status());
  }
  return {};
}

std::string Serialized(const onnx_proto::ModelProto& model) {
  std::string bytes;
  google::protobuf::io::StringOutputStream stream(&bytes);
  google::protobuf::io::CodedOutputStream coded(&stream);
  coded.SetSerializationDeterministic(true);
  model.SerializeToCodedStream(&coded);
  coded.Trim();
  return bytes;
}

// Where an older OUTPUT had its data outside and the new one has none, the data must not stay. A
// file of that name which the older OUTPUT does not read is somebody else's.
Status RemoveDataOfOlder(const std::filesystem::path& path, AtomicOutput& output) {
  if (!output.replaces()) return {};
  const auto older = OpenOnnx(SystemFiles(), path, Limits{});
  if (!older) return {};
  std::filesystem::path data = path.string() + ".data";
  const std::vector<std::string>& files = (*older)->manifest().files;
  if (std::find(files.begin(), files.end(), data.string()) == files.end()) return {};
  return output.RemoveAtCommit(std::move(data));
}

class ModelWriter {
 public:
  ModelWriter(const std::filesystem::path& path, const OutputModel& output, AtomicOutput& atomic)
      : path_(path), output_(output), atomic_(atomic) {}

  Result<WriteSummary> Write(onnx_proto::ModelProto& model) {
    CKPT_RETURN_IF_ERROR(Filler(output_, model).Fill());
    CKPT_RETURN_IF_ERROR(FillStrings(output_, model));
    std::uint64_t total = model.ByteSizeLong();
    for (const TensorInfo& info : output_.tensors) total += info.byte_size + 32;
    CKPT_RETURN_IF_ERROR(total > kMaxMessageBytes ? WriteExternal(model)
                                                  : RemoveDataOfOlder(path_, atomic_));
    CKPT_RETURN_IF_ERROR(WriteModel(Serialized(model)));
    return std::move(summary_);
  }

 private:
  Status Append(OutputFile& file, std::size_t index) const {
    return PullTensor(output_, index, [&](auto bytes) { return file.Append(bytes); });
  }

  static void SetExternal(TensorProto& tensor, const std::string& location, std::uint64_t offset,
                          std::uint64_t length) {
    tensor.set_data_location(1);
    for (const auto& [key, value] : {std::pair<std::string, std::string>{"location", location},
                                     {"offset", std::to_string(offset)},
                                     {"length", std::to_string(length)}}) {
      auto& entry = *tensor.add_external_data();
      entry.set_key(key);
      entry.set_value(value);
    }
  }

  Status WriteExternal(onnx_proto::ModelProto& model) {
    const std::filesystem::path path = path_.string() + ".data";
    CKPT_ASSIGN_OR_RETURN(OutputFile* const file, atomic_.Create(path));
    CKPT_ASSIGN_OR_RETURN(const std::vector<TensorPlace> places, onnx::TensorPlacesOf(model));
    const std::vector<std::byte> zeros(kExternalAlignment);
    for (const TensorPlace& place : places) {
      if (!place.tensor->has_data_place()) continue;
      const std::uint32_t index = place.tensor->data_place();
      const TensorInfo& info = output_.tensors[index];
      if (info.byte_size < kExternalFrom) continue;
      const std::uint64_t rest = file->size() % kExternalAlignment;
      if (rest != 0) {
        CKPT_RETURN_IF_ERROR(file->Append(std::span(zeros).first(kExternalAlignment - rest)));
      }
      place.tensor->clear_data_place();
      SetExternal(*place.tensor, path.filename().string(), file->size(), info.byte_size);
      CKPT_RETURN_IF_ERROR(Append(*file, index));
    }
    summary_.files.push_back(path.string());
    summary_.bytes += file->size();
    return {};
  }

  Status WriteModel(const std::string& skeleton) {
    const auto size_of = [&](std::uint32_t index) { return output_.tensors[index].byte_size; };
    CKPT_ASSIGN_OR_RETURN(const auto pieces, onnx::SpliceModel(skeleton, size_of));
    std::uint64_t size = 0;
    for (const auto& piece : pieces) {
      size += piece.data_place ? size_of(*piece.data_place) : piece.bytes.size();
    }
    if (size > kMaxMessageBytes) {
      return Fail(ErrorCode::kUnfit, "the graph without its weights would have " +
                                         std::to_string(size) + " bytes; ONNX ends at 2 GiB");
    }
    CKPT_ASSIGN_OR_RETURN(OutputFile* const file, atomic_.Create(path_, size));
    for (const auto& piece : pieces) {
      if (piece.data_place) {
        CKPT_RETURN_IF_ERROR(Append(*file, *piece.data_place));
      } else {
        CKPT_RETURN_IF_ERROR(file->Append(std::as_bytes(std::span(piece.bytes))));
      }
    }
    summary_.files.push_back(path_.string());
    summary_.bytes += file->size();
    return {};
  }

  const std::filesystem::path& path_;
  const OutputModel& output_;
  AtomicOutput& atomic_;
  WriteSummary summary_;
};

const Document* ModelDocument(const std::vector<Document>& documents) {
  const auto found = std::find_if(documents.begin(), documents.end(), [](const Document& document) {
    return document.name == onnx::kModelDocument;
  });
  return found == documents.end() ? nullptr : &*found;
}

}  // namespace

namespace onnx {

Result<onnx_proto::ModelProto> ParseModel(std::string_view bytes) {
  onnx_proto::ModelProto model;
  google::protobuf::io::CodedInputStream stream(reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                                static_cast<int>(bytes.size()));
  stream.SetTotalBytesLimit(INT_MAX);
  stream.SetRecursionLimit(4 * kMaxGraphDepth + 16);
  if (bytes.size() > static_cast<std::size_t>(INT_MAX) || !model.ParseFromCodedStream(&stream) ||
      !stream.ConsumedEntireMessage()) {
    return Fail(ErrorCode::kCorrupt, "is no ONNX model: its graph cannot be parsed");
  }
  return model;
}

}  // namespace onnx

Status CanHoldOnnx(const TensorInfo& tensor) {
  if (onnx::OnnxDtypeOf(tensor.dtype) != nullptr) return {};
  return Fail(Error{ErrorCode::kUnsupported,
                    "ONNX has no " + std::string(Name(tensor.dtype)),
                    {},
                    {},
                    tensor.name});
}

Result<std::vector<Document>> RewriteOnnx(const Manifest& manifest, const GraphEdits& edits) {
  const Document* document = ModelDocument(manifest.documents);
  if (document == nullptr) return manifest.documents;
  const bool edited = !edits.removed.empty() || !edits.gained_bias.empty() ||
                      !edits.to_affine.empty() || !edits.to_inference.empty() ||
                      !edits.rebound.empty();
  if (!edited) return std::vector<Document>{*document};
  if (!manifest.graph || manifest.graph->origin != GraphOrigin::kOnnxGraph ||
      manifest.graph->of_other_file) {
    return Fail(Error{ErrorCode::kUnsupported, "an ONNX model is folded by its own graph"}.With(
        Remedy::kWithoutGraph));
  }
  CKPT_ASSIGN_OR_RETURN(onnx_proto::ModelProto model, onnx::ParseModel(document->text));
  onnx::FlatModel flat = onnx::FlattenModel(model);
  onnx_proto::ModelProto& edited_model = flat.model ? *flat.model : model;
  CKPT_RETURN_IF_ERROR(onnx::ApplyEdits(manifest, edits, edited_model));
  return std::vector<Document>{{document->name, Serialized(edited_model)}};
}

namespace {

// What this program itself says of the model ("ckpt...."), in the place of what it said before.
void AddOwnMetadata(const std::map<std::string, std::string>& metadata,
                    onnx_proto::ModelProto& proto) {
  for (const auto& [key, value] : metadata) {
    if (!key.starts_with("ckpt.")) continue;
    onnx_proto::StringStringEntryProto* entry = nullptr;
    for (auto& known : *proto.mutable_metadata_props()) {
      if (known.key() == key) entry = &known;
    }
    if (entry == nullptr) entry = proto.add_metadata_props();
    entry->set_key(key);
    entry->set_value(value);
  }
}

}  // namespace

Result<WriteSummary> WriteOnnx(AtomicOutput& output, const std::filesystem::path& path,
                               const OutputModel& model, const WriteOptions&) {
  for (const TensorInfo& tensor : model.tensors) CKPT_RETURN_IF_ERROR(CanHoldOnnx(tensor));
  const Document* document = ModelDocument(model.documents);
  if (document == nullptr) {
    return Fail(ErrorCode::kUnfit,
                "cannot become ONNX here: graphs are rewritten and not built, and nothing but an "
                "ONNX file, under its own names of tensors, has one of ONNX. Export the model with "
                "its framework (tf2onnx, torch.onnx.export), then convert that file");
  }
  CKPT_ASSIGN_OR_RETURN(onnx_proto::ModelProto proto, onnx::ParseModel(document->text));
  AddOwnMetadata(model.metadata, proto);
  return ModelWriter(path, model, output).Write(proto);
}

}  // namespace ckpt::formats
