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
    : archive_(std::move(archive)) {}

Status MemberChecksums::Check(std::size_t member) {
  if (archive_->members()[member].crc32 == 0) return {};
  const std::lock_guard lock(mutex_);
  const auto known = results_.find(member);
  if (known != results_.end()) return known->second;
  return results_.emplace(member, ReadToTheEnd(*archive_, member)).first->second;
}

}  // namespace ckpt::formats
