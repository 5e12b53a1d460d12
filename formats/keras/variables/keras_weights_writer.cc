#include "formats/hdf5/hdf5_output.h"
#include "formats/keras/variables/keras_weights.h"
#include "formats/keras/variables/shard_writer.h"
#include "formats/keras/variables/variable_output.h"

namespace ckpt::formats {

Status CanHoldKerasWeights(const TensorInfo& tensor) { return keras::CanHoldVariable(tensor); }

Result<WriteSummary> WriteKerasWeights(AtomicOutput& output, const std::filesystem::path& path,
                                       const OutputModel& model, const WriteOptions& options) {
  for (const TensorInfo& tensor : model.tensors) {
    CKPT_RETURN_IF_ERROR(keras::CanHoldVariable(tensor));
  }
  CKPT_ASSIGN_OR_RETURN(const keras::VariableOutput planned, keras::PlanVariables(model));
  if (path.filename().string().ends_with(keras::kSetSuffix)) {
    return keras::WriteShards(output, path, model, planned, options);
  }
  return WriteHdf5File(
      output, path, [&](Hdf5Writer& file) { return keras::WriteVariables(file, model, planned); });
}

}  // namespace ckpt::formats
