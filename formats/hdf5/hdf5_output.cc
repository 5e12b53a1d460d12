#include "formats/hdf5/hdf5_output.h"

#include <system_error>

#include "formats/container/atomic_output.h"
#include "formats/container/output_tensor.h"

namespace ckpt::formats {

Result<WriteSummary> WriteHdf5File(AtomicOutput& output, const std::filesystem::path& path,
                                   const std::function<Status(Hdf5Writer&)>& fill) {
  CKPT_ASSIGN_OR_RETURN(OutputFile* const target, output.Create(path));
  {
    CKPT_ASSIGN_OR_RETURN(const auto file, Hdf5Writer::Create(target->temporary_path()));
    CKPT_RETURN_IF_ERROR(fill(*file));
    CKPT_RETURN_IF_ERROR(file->Close());
  }
  std::error_code failed;
  const std::uint64_t bytes = std::filesystem::file_size(target->temporary_path(), failed);
  return WriteSummary{{path.string()}, failed ? 0 : bytes};
}

}  // namespace ckpt::formats
