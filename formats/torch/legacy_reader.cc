#include "formats/torch/legacy_reader.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "formats/encoding/byte_reader.h"
#include "formats/torch/carried_pickles.h"
#include "formats/torch/pickle_reader.h"
#include "formats/torch/torch_checkpoint.h"

namespace ckpt::formats {
namespace {

// PROTO 2, LONG1 of 10 bytes: 0x1950a86a20f9469cfc6c, STOP.
constexpr std::string_view kMagic("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19\x2e",
                                  15);
constexpr std::int64_t kProtocol = 1001;

class LegacyReader {
 public:
  LegacyReader(std::shared_ptr<const RandomAccessFile> file, const Limits& limits)
      : file_(std::move(file)), limits_(limits), input_(*file_, kMagic.size()) {}

  Result<std::unique_ptr<Checkpoint>> Open() {
    CKPT_ASSIGN_OR_RETURN(const PickleId protocol, Next());
    if (graph_.kind(protocol) != PickleKind::kInt || graph_.integer(protocol) != kProtocol) {
      return Fail(Error{ErrorCode::kUnsupported, "is of another protocol than 1001"}
                      .In(file_->path())
                      .At(kMagic.size()));
    }
    CKPT_ASSIGN_OR_RETURN(const PickleId host, Next());
    if (graph_.kind(host) != PickleKind::kDict) return Corrupt("the record of the host is no dict");
    // What the model holds is kept apart: the list of keys comes behind it.
    const std::uint64_t start = input_.offset();
    CKPT_ASSIGN_OR_RETURN(const PickleId root, Next());
    const std::uint64_t pickle_bytes = input_.offset() - start;
    CKPT_ASSIGN_OR_RETURN(const PickleId keys, Next());
    CKPT_RETURN_IF_ERROR(CollectStorages());
    CKPT_RETURN_IF_ERROR(LocateStorages(keys));
    PickledPart part{root, "", [this](const StorageReference& storage) { return Locate(storage); }};
    part.pickle_bytes = pickle_bytes;
    CarriedPickles code(limits_);
    code.AddGraph(graph_);
    return MakeTorchCheckpoint(graph_, {std::move(part)},
                               StorageFile{file_, nullptr, false, nullptr},
                               {std::move(notes_), code.Take()}, limits_);
  }

 private:
  struct Storage {
    StorageReference reference;
    std::optional<StorageLocation> location = {};
  };

  tl::unexpected<Error> Corrupt(std::string message) const {
    return Fail(
        Error{ErrorCode::kCorrupt, std::move(message)}.In(file_->path()).At(input_.offset()));
  }

  Result<PickleId> Next() {
    const PickleLimits limits{.memory = std::max(PickleLimits{}.memory, limits_.memory_bytes),
                              .text_bytes = limits_.metadata_bytes};
    return ReadPickle(input_, graph_, limits);
  }

  // The element size of each key, which the data do not repeat.
  Status CollectStorages() {
    for (PickleId id = 0; id < graph_.size(); ++id) {
      if (graph_.kind(id) != PickleKind::kPersistent) continue;
      const auto parts = graph_.TupleItems(graph_.items(id)[0]);
      if (!parts.empty() && graph_.IsText(parts[0], "module")) continue;
      auto reference = ReadStorageReference(graph_, id);
      if (!reference) {
        reference.error().file = file_->path();
        return Fail(reference);
      }
      const auto [entry, added] = storages_.try_emplace(reference->key, Storage{*reference});
      if (added || entry->second.reference.bytes == reference->bytes) continue;
      return Corrupt("the storage " + reference->key.substr(0, 100) + " has two sizes");
    }
    return {};
  }

  Status LocateStorages(PickleId keys) {
    if (graph_.kind(keys) != PickleKind::kList) return Corrupt("the list of storages is none");
    std::uint64_t offset = input_.offset();
    for (const PickleId id : graph_.items(keys)) {
      if (graph_.kind(id) != PickleKind::kText) return Corrupt("a storage's key is no text");
      const auto found = storages_.find(std::string(graph_.text(id)));
      if (found == storages_.end()) {
        return Corrupt("the storage " + std::string(graph_.text(id).substr(0, 100)) +
                       " belongs to nothing, so that its size is unknown");
      }
      const StorageReference& storage = found->second.reference;
      if (!RangeFits(offset, 8, file_->size())) return {};
      std::array<std::byte, 8> count;
      CKPT_RETURN_IF_ERROR(file_->ReadAt(offset, count));
      if (ByteReader(count).U64() != storage.elements) {
        return Fail(Error{ErrorCode::kCorrupt,
                          "the storage " + storage.key.substr(0, 100) + " should have " +
                              std::to_string(storage.elements) + " elements, its data say " +
                              std::to_string(ByteReader(count).U64())}
                        .In(file_->path())
                        .At(offset));
      }
      offset += count.size();
      if (!RangeFits(offset, storage.bytes, file_->size())) return {};
      found->second.location = StorageLocation{offset, storage.bytes, std::nullopt};
      offset += storage.bytes;
    }
    if (offset < file_->size()) {
      notes_.push_back(std::to_string(file_->size() - offset) + " bytes follow the last storage");
    }
    return {};
  }

  Result<StorageLocation> Locate(const StorageReference& storage) const {
    const auto found = storages_.find(storage.key);
    if (found != storages_.end() && found->second.location) return *found->second.location;
    return Fail(Error{ErrorCode::kCorrupt, "the file ends before its storage"}
                    .In(file_->path())
                    .At(file_->size()));
  }

  std::shared_ptr<const RandomAccessFile> file_;
  const Limits& limits_;
  PickleInput input_;
  PickleGraph graph_;
  std::unordered_map<std::string, Storage> storages_;
  std::vector<std::string> notes_;
};

}  // namespace

bool StartsLikeLegacyTorch(std::span<const std::byte> head) noexcept {
  return std::string_view(reinterpret_cast<const char*>(head.data()), head.size())
      .starts_with(kMagic);
}

Result<std::unique_ptr<Checkpoint>> OpenLegacyTorch(std::shared_ptr<const RandomAccessFile> file,
                                                    const Limits& limits) {
  return LegacyReader(std::move(file), limits).Open();
}

}  // namespace ckpt::formats
