#include "formats/tf_graph/graph_record.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "formats/container/git_lfs.h"
#include "formats/tf_graph/graph_kind.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kHeadBytes = 512;
constexpr int kMaxTextDepth = 64;

Error At(const RandomAccessFile& file, ErrorCode code, std::string message) {
  return Error{code, std::move(message)}.In(file.path());
}

// The message of the kind inside `saved_model`.
google::protobuf::Message* MessageOf(OpGraphKind kind, tf_proto::SavedModel* saved_model) {
  if (kind == OpGraphKind::kSavedModel) return saved_model;
  tf_proto::MetaGraphDef* const meta = saved_model->add_meta_graphs();
  if (kind == OpGraphKind::kMetaGraph) return meta;
  return meta->mutable_graph_def();
}

// Bytes that a text file was turned into, under its name.
class TextAsBytes : public RandomAccessFile {
 public:
  TextAsBytes(std::string path, std::string bytes)
      : path_(std::move(path)), bytes_(std::move(bytes)) {}
  const std::string& path() const noexcept override { return path_; }
  std::uint64_t size() const noexcept override { return bytes_.size(); }
  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    if (offset > bytes_.size() || out.size() > bytes_.size() - offset) {
      return Fail(Error{ErrorCode::kCorrupt, "ends too early"}.In(path_).At(offset));
    }
    std::copy_n(reinterpret_cast<const std::byte*>(bytes_.data()) + offset, out.size(), out.data());
    return {};
  }

 private:
  std::string path_, bytes_;
};

// Keeps the first message of the parser of text.
class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, google::protobuf::io::ColumnNumber, const std::string& message) override {
    if (text.empty()) text = "line " + std::to_string(line + 1) + ": " + message;
  }
  std::string text;
};

Result<std::shared_ptr<const RandomAccessFile>> TextToBytes(const RandomAccessFile& file,
                                                            OpGraphKind kind,
                                                            const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(std::string text, ReadWhole(file, limits.metadata_bytes));
  FirstError errors;
  google::protobuf::TextFormat::Parser parser;
  parser.AllowUnknownField(true);
  parser.AllowUnknownExtension(true);
  parser.SetRecursionLimit(kMaxTextDepth);  // there is none by default
  parser.RecordErrorsTo(&errors);
  tf_proto::SavedModel message;
  google::protobuf::Message* const inner = MessageOf(kind, &message);
  if (!parser.ParseFromString(text, inner)) {
    return Fail(At(file, ErrorCode::kCorrupt,
                   "is no " + std::string(Name(kind)) + " in text: " + errors.text));
  }
  text = {};
  std::string bytes;
  if (inner->ByteSizeLong() > std::numeric_limits<int>::max() ||
      !inner->SerializePartialToString(&bytes)) {
    return Fail(At(file, ErrorCode::kLimitExceeded, "is larger than a message may be"));
  }
  return std::shared_ptr<const RandomAccessFile>(
      std::make_shared<TextAsBytes>(file.path(), std::move(bytes)));
}

Result<GraphKind> KindOf(const RandomAccessFile& file) {
  if (auto pointer = GitLfsPointer(file)) return Fail(*std::move(pointer));
  std::vector<std::byte> head(static_cast<std::size_t>(std::min(kHeadBytes, file.size())));
  CKPT_RETURN_IF_ERROR(file.ReadAt(0, head));
  if (const auto kind = SniffGraphKind(head)) return *kind;
  return Fail(At(file, ErrorCode::kUnsupported, "is no graph of TensorFlow"));
}

int ServingGraph(const tf_proto::SavedModel& saved_model) {
  for (int i = 0; i < saved_model.meta_graphs_size(); ++i) {
    const auto& tags = saved_model.meta_graphs(i).meta_info_def().tags();
    if (std::find(tags.begin(), tags.end(), "serve") != tags.end()) return i;
  }
  return 0;
}

}  // namespace

const tf_proto::FunctionDef* TfGraphRecord::FindFunction(std::string_view name) const {
  for (const tf_proto::FunctionDef& function : graph().library().function()) {
    if (function.signature().name() == name) return &function;
  }
  return nullptr;
}

std::vector<std::string> CompanionPaths(const TfGraphRecord& record) {
  std::vector<std::string> paths;
  if (!record.companions) return paths;
  for (const CompanionFile& file : *record.companions)
    paths.push_back((file.folder / file.name).string());
  return paths;
}

const TfGraphRecord& RecordOf(const OpGraph& graph) {
  return *static_cast<const TfGraphRecord*>(graph.file_record.get());
}

Result<std::shared_ptr<TfGraphRecord>> ReadGraphRecord(std::shared_ptr<const RandomAccessFile> file,
                                                       const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(const GraphKind kind, KindOf(*file));
  if (kind.text) {
    CKPT_ASSIGN_OR_RETURN(file, TextToBytes(*file, kind.kind, limits));
  }
  CKPT_ASSIGN_OR_RETURN(GraphSkeleton skeleton, ReadGraphSkeleton(*file, kind.kind, limits));
  auto record = std::make_shared<TfGraphRecord>();
  record->kind = kind.kind;
  record->left = std::move(skeleton.left);
  if (skeleton.bytes.size() > std::numeric_limits<int>::max() ||
      !MessageOf(kind.kind, &record->saved_model)->ParseFromString(skeleton.bytes)) {
    return Fail(At(*file, ErrorCode::kCorrupt,
                   "is no " + std::string(Name(kind.kind)) +
                       ": a field is of another kind than it should be, or nested too deep"));
  }
  if (record->saved_model.meta_graphs_size() == 0) {
    return Fail(At(*file, ErrorCode::kCorrupt, "is a SavedModel without a graph"));
  }
  record->meta_graph = ServingGraph(record->saved_model);
  record->file = std::move(file);
  return record;
}

}  // namespace ckpt::formats
