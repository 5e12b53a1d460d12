#include "formats/torch/member_checksums.h"

#include <utility>

namespace ckpt::formats {
namespace {

Status ReadToTheEnd(const ZipArchive& archive, std::size_t member) {
  const auto stream = archive.Stream(member, 0, ZipChecksum::kCheck);
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) return {};
  }
}

}  // namespace

MemberChecksums::MemberChecksums(std::shared_ptr<const ZipArchive> archive)
    : archive_(std::move(archive)), results_(archive_->members().size()) {}

Status MemberChecksums::Check(std::size_t member) {
  if (archive_->members()[member].crc32 == 0) return {};
  const std::lock_guard lock(mutex_);
  std::optional<Status>& result = results_[member];
  if (!result) result = ReadToTheEnd(*archive_, member);
  return *result;
}

}  // namespace ckpt::formats
