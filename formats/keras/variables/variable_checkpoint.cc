#include "formats/keras/variables/variable_checkpoint.h"

#include "formats/keras/model/network.h"

namespace ckpt::formats::keras {

Status VariableCheckpoint::CheckMember() const {
  if (!archive_) return {};
  std::call_once(checked_, [this] {
    const auto stream = archive_->Stream(member_);
    while (true) {
      auto chunk = stream->Next();
      if (!chunk) damage_ = chunk.error();
      if (!chunk || chunk->empty()) return;
    }
  });
  if (damage_) return Fail(*damage_);
  return {};
}

Result<std::unique_ptr<TensorStream>> VariableCheckpoint::Open(TensorId id) const {
  const StoredDataset& dataset = described_.datasets[id.index];
  const TensorInfo& info = described_.manifest.tensors[id.index];
  Status sound = CheckMember();
  if (!sound) {
    Error error = sound.error();
    error.tensor = info.name;
    return Fail(std::move(error));
  }
  auto stream = files_[dataset.file]->OpenDataset(*dataset.object);
  if (stream) return stream;
  Error error = std::move(stream).error();
  error.tensor = info.name;
  return Fail(std::move(error));
}

Result<network::Network> VariableCheckpoint::MakeNetwork() const {
  return NetworkOf(described_.manifest, described_.manifest.framework_version);
}

}  // namespace ckpt::formats::keras
