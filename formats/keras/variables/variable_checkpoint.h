// A checkpoint whose tensors are datasets of one or several HDF5 files.
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string_view>
#include <vector>

#include "ckpt/checkpoint.h"
#include "formats/container/zip_archive.h"
#include "formats/keras/variables/variable_manifest.h"

namespace ckpt::formats::keras {

class VariableCheckpoint : public Checkpoint {
 public:
  // `archive` holds the file as its member `member`, stored as it stands: its CRC-32 is checked
  // when the first tensor is opened, because a part has none of its own. Null for none.
  VariableCheckpoint(std::string_view format, std::vector<std::unique_ptr<Hdf5File>> files,
                     VariableManifest described, std::unique_ptr<ZipArchive> archive = {},
                     std::size_t member = 0)
      : format_(format),
        files_(std::move(files)),
        described_(std::move(described)),
        archive_(std::move(archive)),
        member_(member) {
    for (const auto& file : files_) {  // one run, one kernel: said once
      if (file->note().empty()) continue;
      std::string& note = described_.manifest.note;
      note += (note.empty() ? "" : "; ") + file->note();
      break;
    }
  }

  std::string_view format() const noexcept override { return format_; }
  const Manifest& manifest() const noexcept override { return described_.manifest; }
  Result<network::Network> MakeNetwork() const override;
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override;

 private:
  Status CheckMember() const;

  std::string_view format_;
  std::vector<std::unique_ptr<Hdf5File>> files_;
  VariableManifest described_;
  std::unique_ptr<ZipArchive> archive_;
  std::size_t member_;
  mutable std::once_flag checked_;
  mutable std::optional<Error> damage_;
};

}  // namespace ckpt::formats::keras
