#include "formats/container/atomic_output.h"
#include "formats/container/output_tensor.h"
#include "formats/hdf5/hdf5_writer.h"
#include "formats/keras/keras_weights.h"
#include "formats/keras/variable_output.h"

namespace ckpt::formats {

Status CanHoldKerasWeights(const TensorInfo& tensor) { return keras::CanHoldVariable(tensor); }

Result<WriteSummary> WriteKerasWeights(const std::filesystem::path& path, const OutputModel& model,
                                       const WriteOptions& options) {
  for (const TensorInfo& tensor : model.tensors) {
    CKPT_RETURN_IF_ERROR(keras::CanHoldVariable(tensor));
  }
  CKPT_ASSIGN_OR_RETURN(const keras::VariableOutput planned, keras::PlanVariables(model));
  AtomicOutput output(OverwriteOf(options));
  CKPT_ASSIGN_OR_RETURN(OutputFile* const target, output.Create(path));
  {
    CKPT_ASSIGN_OR_RETURN(const auto file, Hdf5Writer::Create(target->temporary_path()));
    CKPT_RETURN_IF_ERROR(keras::WriteVariables(*file, model, planned));
    CKPT_RETURN_IF_ERROR(file->Close());
  }
  std::error_code failed;
  const std::uint64_t bytes = std::filesystem::file_size(target->temporary_path(), failed);
  CKPT_RETURN_IF_ERROR(output.Commit());
  return WriteSummary{{path.string()}, failed ? 0 : bytes};
}

}  // namespace ckpt::formats
