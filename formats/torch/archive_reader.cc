#include "formats/torch/archive_reader.h"

#include <algorithm>
#include <map>
#include <utility>

#include "formats/container/zip_archive.h"
#include "formats/torch/carried_pickles.h"
#include "formats/torch/pickle_reader.h"
#include "formats/torch/script_code.h"
#include "formats/torch/torch_checkpoint.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kMaxSmallRecord = 4096;
// Pickles of state dicts deflate to a fifth or a tenth.

class ArchiveReader {
 public:
  ArchiveReader(std::shared_ptr<const ZipArchive> archive, const Limits& limits)
      : archive_(std::move(archive)), limits_(limits) {}

  Result<std::unique_ptr<Checkpoint>> Open() {
    CKPT_RETURN_IF_ERROR(FindTopFolder());
    if (archive_->Find(top_ + "archive_format") ||
        archive_->Find(top_ + "serialized_exported_program.json")) {
      return Fail(Error{ErrorCode::kUnsupported,
                        "is a program of torch.export (.pt2), which is not read; "
                        "`torch.save(torch.export.load(FILE).state_dict, OUT)` writes its weights"}
                      .In(archive_->file()->path()));
    }
    CKPT_RETURN_IF_ERROR(ReadByteOrder());
    std::vector<PickledPart> parts;
    CKPT_ASSIGN_OR_RETURN(const PickleId root, ReadRecord("data.pkl"));
    parts.push_back({root, "", LocateIn("data/")});
    parts.back().script_class = [this](std::string_view name) { return FindScriptClass(name); };
    parts.back().pickle_bytes = archive_->members()[*archive_->Find(top_ + "data.pkl")].size;
    if (archive_->Find(top_ + "constants.pkl")) {
      CKPT_ASSIGN_OR_RETURN(const PickleId constants, ReadRecord("constants.pkl"));
      parts.push_back({constants, "constants", LocateIn("constants/")});
      notes_.insert(notes_.begin(), "a TorchScript archive, whose code is not run");
    }
    if (!archive_->Find(top_ + "version")) {
      notes_.push_back("has no record of a version, without which torch.load refuses it");
    }
    NoteDeflated();
    StorageFile storages{archive_->file(), archive_, big_endian_,
                         std::make_shared<MemberChecksums>(archive_)};
    CarriedPickles code(limits_);
    code.AddGraph(graph_);
    code.AddArchive(*archive_, top_, read_whole_);
    return MakeTorchCheckpoint(graph_, parts, std::move(storages), {std::move(notes_), code.Take()},
                               limits_);
  }

 private:
  tl::unexpected<Error> Corrupt(std::string message, std::uint64_t offset = 0) const {
    return Fail(
        Error{ErrorCode::kCorrupt, std::move(message)}.In(archive_->file()->path()).At(offset));
  }

  // PyTorch takes it from the first record; records elsewhere would be seen by other readers only.
  Status FindTopFolder() {
    if (archive_->members().empty()) return Corrupt("the archive is empty");
    const ZipMember& first = archive_->members().front();
    const std::size_t slash = first.name.find('/');
    if (slash == std::string::npos) {
      return Corrupt("the first record, \"" + first.name + "\", is in no folder",
                     first.header_offset);
    }
    top_ = first.name.substr(0, slash + 1);
    for (const ZipMember& member : archive_->members()) {
      if (member.name.starts_with(top_)) continue;
      return Corrupt(
          "the record \"" + member.name + "\" is not in the folder of the others, \"" + top_ + "\"",
          member.header_offset);
    }
    return {};
  }

  Result<std::string> Read(std::size_t index, std::uint64_t max_bytes) const {
    const ZipMember& member = archive_->members()[index];
    if (member.crc32 != 0) return archive_->Read(index, max_bytes);
    if (member.size > max_bytes) return archive_->Read(index, max_bytes);  // says so
    std::string text;
    const auto stream = archive_->Stream(index, 0, ZipChecksum::kIgnore);
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
      if (chunk.empty()) return text;
      text.append(reinterpret_cast<const char*>(chunk.data()), chunk.size());
    }
  }

  Status ReadByteOrder() {
    const auto index = archive_->Find(top_ + "byteorder");
    if (!index) return {};
    CKPT_ASSIGN_OR_RETURN(const std::string order, Read(*index, kMaxSmallRecord));
    big_endian_ = order == "big";
    if (big_endian_ || order == "little") return {};
    return Corrupt("the byte order is \"" + order.substr(0, 32) + "\", not \"little\" or \"big\"",
                   archive_->members()[*index].data_offset);
  }

  Result<PickleId> ReadRecord(const std::string& name) {
    const auto index = archive_->Find(top_ + name);
    if (!index) return Corrupt("the archive has no record " + top_ + name);
    const ZipMember& member = archive_->members()[*index];
    CKPT_ASSIGN_OR_RETURN(const std::string bytes, Read(*index, limits_.metadata_bytes));
    // Offsets are those in the file where the record is stored, as PyTorch does it.
    const bool stored = member.method == ZipMethod::kStored;
    PickleInput input(bytes, archive_->file()->path(), stored ? member.data_offset : 0);
    const PickleLimits limits{.memory = std::max(PickleLimits{}.memory, limits_.memory_bytes),
                              .justified_bytes = kMaxInflation * member.compressed_size,
                              .text_bytes = limits_.metadata_bytes};
    CKPT_ASSIGN_OR_RETURN(const PickleId root, ReadPickle(input, graph_, limits));
    if (input.remaining() > 0) {
      notes_.push_back(std::to_string(input.remaining()) + " bytes follow the pickle in " + name);
    } else {
      read_whole_.push_back(*index);
    }
    return root;
  }

  std::function<Result<StorageLocation>(const StorageReference&)> LocateIn(
      const std::string& folder) const {
    return [archive = archive_,
            prefix = top_ + folder](const StorageReference& storage) -> Result<StorageLocation> {
      const auto index = archive->Find(prefix + storage.key);
      const std::string& path = archive->file()->path();
      if (!index) {
        return Fail(Error{ErrorCode::kCorrupt,
                          "the archive has no record " + prefix + storage.key.substr(0, 200)}
                        .In(path));
      }
      const ZipMember& member = archive->members()[*index];
      if (member.size != storage.bytes) {
        return Fail(
            Error{ErrorCode::kCorrupt, "its storage should have " + std::to_string(storage.bytes) +
                                           " bytes, the record has " + std::to_string(member.size)}
                .In(path)
                .At(member.header_offset));
      }
      return StorageLocation{member.data_offset, member.size, *index};
    };
  }

  // "__torch__.torch.nn.modules.conv.Conv2d" stands in code/__torch__/torch/nn/modules/conv.py.
  const ScriptClass* FindScriptClass(std::string_view name) {
    const std::size_t dot = name.rfind('.');
    if (dot == std::string_view::npos) return nullptr;
    std::string path = top_ + "code/" + std::string(name.substr(0, dot));
    std::replace(path.begin() + static_cast<std::ptrdiff_t>(top_.size()), path.end(), '.', '/');
    const auto [file, added] = sources_.try_emplace(path + ".py");
    if (added) {
      if (const auto index = archive_->Find(file->first)) ReadSource(*index, file->second);
    }
    const auto found = file->second.find(name.substr(dot + 1));
    return found == file->second.end() ? nullptr : &found->second;
  }

  void ReadSource(std::size_t index, ScriptClasses& classes) {
    const std::uint64_t bytes = archive_->members()[index].size;
    if (bytes > source_bytes_left_) return;
    source_bytes_left_ -= bytes;
    // Code that cannot be read says nothing; the tensors stand for themselves.
    if (const auto text = Read(index, bytes)) classes = ReadScriptClasses(*text);
  }

  void NoteDeflated() {
    std::size_t deflated = 0;
    for (const ZipMember& member : archive_->members()) {
      const bool storage = member.name.starts_with(top_ + "data/");
      deflated += storage && member.method != ZipMethod::kStored ? 1U : 0U;
    }
    if (deflated == 0) return;
    notes_.push_back(std::to_string(deflated) +
                     " storages are compressed, which torch.load(mmap=True) reads wrongly");
  }

  std::shared_ptr<const ZipArchive> archive_;
  const Limits& limits_;
  std::string top_;  // with its slash
  bool big_endian_ = false;
  PickleGraph graph_;
  std::vector<std::size_t> read_whole_;  // members that are in graph_ to their last byte
  std::vector<std::string> notes_;
  std::map<std::string, ScriptClasses> sources_;  // by the name of the record
  std::uint64_t source_bytes_left_ = kMaxScriptSource;
};

}  // namespace

Result<std::unique_ptr<Checkpoint>> OpenTorchArchive(std::shared_ptr<const RandomAccessFile> file,
                                                     const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(ZipArchive archive, ZipArchive::Open(std::move(file), limits));
  return ArchiveReader(std::make_shared<const ZipArchive>(std::move(archive)), limits).Open();
}

}  // namespace ckpt::formats
