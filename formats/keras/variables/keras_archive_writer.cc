#include "formats/container/atomic_output.h"
#include "formats/container/file.h"
#include "formats/container/output_tensor.h"
#include "formats/container/parted_checksum.h"
#include "formats/container/zip_writer.h"
#include "formats/hdf5/hdf5_writer.h"
#include "formats/keras/model/output_layout.h"
#include "formats/keras/variables/keras_archive.h"
#include "formats/keras/variables/variable_layout_rewrite.h"
#include "formats/keras/variables/variable_output.h"

namespace ckpt::formats {
namespace {

Status AddText(ZipWriter& zip, const std::string& name, const std::string& text) {
  CKPT_RETURN_IF_ERROR(zip.Begin(name, text.size()));
  return zip.Append(std::as_bytes(std::span(text)));
}

// Writes the HDF5 file where it will stand in the archive.
Status AddWeights(ZipWriter& zip, const OutputFile& target, const OutputModel& model,
                  const keras::VariableOutput& output) {
  CKPT_RETURN_IF_ERROR(zip.BeginByPath("model.weights.h5"));
  const std::uint64_t begin = target.size();
  PartedChecksum checksum;
  CKPT_ASSIGN_OR_RETURN(const auto file,
                        Hdf5Writer::CreateWithin(target.temporary_path(), checksum));
  CKPT_RETURN_IF_ERROR(keras::WriteVariables(*file, model, output));
  CKPT_RETURN_IF_ERROR(file->Close());
  CKPT_ASSIGN_OR_RETURN(const auto written, SystemFiles().Open(target.temporary_path()));
  CKPT_ASSIGN_OR_RETURN(const std::uint32_t crc32, checksum.Of(*written, begin));
  return zip.EndByPath(crc32);
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
  ZipWriter zip(*target);
  if (const std::string* metadata = keras::FindDocument(model, "metadata.json")) {
    CKPT_RETURN_IF_ERROR(AddText(zip, "metadata.json", *metadata));
  }
  CKPT_RETURN_IF_ERROR(AddText(zip, "config.json", config_text));
  CKPT_RETURN_IF_ERROR(AddWeights(zip, *target, model, variables));
  for (const Document& document : model.documents) {
    if (!document.name.starts_with("assets/")) continue;
    CKPT_RETURN_IF_ERROR(AddText(zip, document.name, document.text));
  }
  CKPT_RETURN_IF_ERROR(zip.Finish());
  return WriteSummary{{path.string()}, target->size()};
}

}  // namespace ckpt::formats
