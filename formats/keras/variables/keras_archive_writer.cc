#include <algorithm>

#include "formats/container/atomic_output.h"
#include "formats/container/output_tensor.h"
#include "formats/container/zip_writer.h"
#include "formats/hdf5/hdf5_writer.h"
#include "formats/keras/model/output_layout.h"
#include "formats/keras/variables/keras_archive.h"
#include "formats/keras/variables/variable_layout_rewrite.h"
#include "formats/keras/variables/variable_output.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kCopyBytes = std::size_t{1} << 20;

// The weights, in a file of their own: the library writes files only.
Result<std::unique_ptr<RandomAccessFile>> WriteWeights(const OutputFile& scratch,
                                                       const OutputModel& model,
                                                       const keras::VariableOutput& output) {
  CKPT_ASSIGN_OR_RETURN(const auto file, Hdf5Writer::Create(scratch.temporary_path()));
  CKPT_RETURN_IF_ERROR(keras::WriteVariables(*file, model, output));
  CKPT_RETURN_IF_ERROR(file->Close());
  return SystemFiles().Open(scratch.temporary_path());
}

Status AddText(ZipWriter& zip, const std::string& name, const std::string& text) {
  CKPT_RETURN_IF_ERROR(zip.Begin(name, text.size()));
  return zip.Append(std::as_bytes(std::span(text)));
}

Status AddFile(ZipWriter& zip, const std::string& name, const RandomAccessFile& file) {
  CKPT_RETURN_IF_ERROR(zip.Begin(name, file.size()));
  std::vector<std::byte> buffer(kCopyBytes);
  for (std::uint64_t at = 0; at < file.size();) {
    const auto chunk = std::span(buffer).first(
        static_cast<std::size_t>(std::min<std::uint64_t>(file.size() - at, buffer.size())));
    CKPT_RETURN_IF_ERROR(file.ReadAt(at, chunk));
    CKPT_RETURN_IF_ERROR(zip.Append(chunk));
    at += chunk.size();
  }
  return {};
}

}  // namespace

Status CanHoldKerasArchive(const TensorInfo& tensor) { return keras::CanHoldVariable(tensor); }

Result<WriteSummary> WriteKerasArchive(AtomicOutput& output, const std::filesystem::path& path,
                                       const OutputModel& model, const WriteOptions&) {
  for (const TensorInfo& tensor : model.tensors) {
    CKPT_RETURN_IF_ERROR(keras::CanHoldVariable(tensor));
  }
  const std::string* config = keras::FindDocument(model, "config.json");
  if (!config) {
    return Fail(ErrorCode::kUnfit,
                "a .keras archive needs the config of a Keras model, which the source lacks");
  }
  CKPT_ASSIGN_OR_RETURN(const keras::VariableOutput variables, keras::PlanVariables(model));
  std::string config_text = *config;
  if (variables.lost_optimizer) {
    CKPT_ASSIGN_OR_RETURN(config_text, keras::WithoutCompileConfig(*config));
  }
  CKPT_ASSIGN_OR_RETURN(OutputFile* const target, output.Create(path));
  CKPT_ASSIGN_OR_RETURN(OutputFile* const scratch, output.CreateScratch(path));
  CKPT_ASSIGN_OR_RETURN(auto weights, WriteWeights(*scratch, model, variables));

  ZipWriter zip(*target);
  if (const std::string* metadata = keras::FindDocument(model, "metadata.json")) {
    CKPT_RETURN_IF_ERROR(AddText(zip, "metadata.json", *metadata));
  }
  CKPT_RETURN_IF_ERROR(AddText(zip, "config.json", config_text));
  CKPT_RETURN_IF_ERROR(AddFile(zip, "model.weights.h5", *weights));
  for (const Document& document : model.documents) {
    if (!document.name.starts_with("assets/")) continue;
    CKPT_RETURN_IF_ERROR(AddText(zip, document.name, document.text));
  }
  CKPT_RETURN_IF_ERROR(zip.Finish());
  weights.reset();
  output.Discard(scratch);
  return WriteSummary{{path.string()}, target->size()};
}

}  // namespace ckpt::formats
