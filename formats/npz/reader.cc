#include <zlib.h>

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "formats/container/range_stream.h"
#include "formats/encoding/checksum.h"
#include "formats/npz/npy_arrays.h"
#include "formats/npz/npy_header.h"
#include "formats/npz/npz.h"

namespace ckpt::formats {
namespace {

constexpr std::string_view kSuffix = ".npy";
using SharedFile = std::shared_ptr<const RandomAccessFile>;

class NpzCheckpoint : public Checkpoint {
 public:
  NpzCheckpoint(Manifest manifest, NpyArrays file, std::vector<StoredArray> arrays)
      : manifest_(std::move(manifest)), file_(std::move(file)), arrays_(std::move(arrays)) {}

  std::string_view format() const noexcept override { return "npz"; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    const TensorInfo& info = manifest_.tensors[id.index];
    if (!info.data_present) return Fail(WhyAbsent(manifest_, id));
    return file_.Open(arrays_[id.index], info.name);
  }

 private:
  Manifest manifest_;
  NpyArrays file_;
  std::vector<StoredArray> arrays_;  // as manifest_.tensors
};

// One array on its way into the manifest.
struct Listed {
  TensorInfo info;
  StoredArray array;
  std::optional<Error> fault;
};

class Opener {
 public:
  Opener(NpyArrays file, std::filesystem::path path, const Limits& limits)
      : file_(std::move(file)), path_(std::move(path)), string_budget_(limits.metadata_bytes) {}

  Result<std::unique_ptr<Checkpoint>> OpenArchive() {
    const auto& members = file_.archive().members();
    std::vector<std::string> others;
    for (std::size_t i = 0; i < members.size(); ++i) {
      if (members[i].name.ends_with(kSuffix)) {
        listed_.push_back(ListMember(i));
      } else {
        others.push_back(members[i].name);
      }
    }
    if (listed_.empty() && !others.empty()) {
      return Fail(Error{
          ErrorCode::kUnsupported,
          "is a zip archive without NumPy arrays; its first member is \"" + others.front() + "\""}
                      .In(path_.string()));
    }
    if (!others.empty()) {
      manifest_.note = std::to_string(others.size()) +
                       " members that are no arrays are left out, such as \"" + others.front() +
                       "\"";
    }
    return Finish();
  }

  Result<std::unique_ptr<Checkpoint>> OpenLoneArray() {
    Listed listed;
    listed.info.name = listed.info.stored_as = path_.stem().string();
    Fill(listed, ReadLoneHeader(), file_.file().size(), ErrorCode::kUnsupported);
    if (listed.fault) return Fail(*listed.fault);
    listed_.push_back(std::move(listed));
    return Finish();
  }

 private:
  Listed ListMember(std::size_t index) {
    const ZipMember& member = file_.archive().members()[index];
    Listed listed;
    listed.info.name = listed.info.stored_as =
        member.name.substr(0, member.name.size() - kSuffix.size());
    listed.array.member = index;
    auto head = ReadMemberHead(index);
    Fill(listed, head ? ParseNpyHeader(*head) : Fail(head), member.size, ErrorCode::kCorrupt);
    if (listed.fault) {
      // Inside a deflated member an offset of the array is no offset of the file.
      const bool stored = member.method == ZipMethod::kStored && head.has_value();
      Error& fault = *listed.fault;
      if (fault.offset && stored) fault.offset = *fault.offset + member.data_offset;
      if (!stored) fault.offset = member.data_offset;
    } else if (IsStoredAsStreamed(listed.array.header)) {
      listed.info.checksum = DataChecksum(member, *head, listed.array.header);
    }
    return listed;
  }

  // CRC-32 is linear: what the header contributed to the member's is taken out again.
  static StoredChecksum DataChecksum(const ZipMember& member, std::string_view head,
                                     const NpyHeader& header) {
    const auto size = static_cast<std::size_t>(header.data_offset);
    const std::uint32_t of_head = Crc32(std::as_bytes(std::span(head.substr(0, size))));
    const auto shifted = static_cast<std::uint32_t>(
        crc32_combine(of_head, 0, static_cast<z_off_t>(header.data_bytes)));
    return {ChecksumKind::kCrc32, member.crc32 ^ shifted};
  }

  // The start of a member up to its data, or all of a short one.
  Result<std::string> ReadMemberHead(std::size_t index) const {
    constexpr std::size_t kUsualHeader = 256;
    CKPT_ASSIGN_OR_RETURN(std::string head, file_.archive().ReadStart(index, kUsualHeader));
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t size, ReadNpyPreamble(head));
    if (size <= head.size()) return head;
    return file_.archive().ReadStart(index, static_cast<std::size_t>(size));
  }

  Result<NpyHeader> ReadLoneHeader() const {
    const RandomAccessFile& file = file_.file();
    std::string head(
        static_cast<std::size_t>(std::min<std::uint64_t>(file.size(), kNpyPreambleBytes)), '\0');
    CKPT_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(head))));
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t size, ReadNpyPreamble(head));
    head.resize(static_cast<std::size_t>(std::min(file.size(), size)));
    CKPT_RETURN_IF_ERROR(file.ReadAt(0, std::as_writable_bytes(std::span(head))));
    return ParseNpyHeader(head);
  }

  // `file_bytes`: of header and data together, as the file or archive has them.
  void Fill(Listed& listed, Result<NpyHeader> header, std::uint64_t file_bytes,
            ErrorCode if_longer) {
    TensorInfo& info = listed.info;
    info.dtype = Dtype::kVoid;
    info.data_file = path_.string();
    Status filled =
        header ? Describe(listed, *std::move(header), file_bytes, if_longer) : Status(Fail(header));
    info.data_present = filled.has_value();
    if (filled) return;
    listed.fault = std::move(filled).error();
    listed.fault->file = path_.string();
    listed.fault->tensor = info.name;
  }

  Status Describe(Listed& listed, NpyHeader&& parsed, std::uint64_t file_bytes,
                  ErrorCode if_longer) {
    listed.array.header = std::move(parsed);
    const NpyHeader& header = listed.array.header;
    TensorInfo& info = listed.info;
    info.shape = header.shape;
    CKPT_RETURN_IF_ERROR(CheckKind(header));
    info.dtype = header.dtype;
    info.byte_size = header.data_bytes;
    const std::uint64_t present = file_bytes - header.data_offset;
    if (present != header.data_bytes) {
      const bool longer = present > header.data_bytes;
      return Fail(Error{longer ? if_longer : ErrorCode::kCorrupt,
                        ToString(header.shape) + " of " + header.descr + " has " +
                            std::to_string(header.data_bytes) + " bytes where " +
                            std::to_string(present) + " follow the header" +
                            (longer && if_longer == ErrorCode::kUnsupported
                                 ? "; several arrays in one .npy are not read"
                                 : "")}
                      .At(header.data_offset));
    }
    if (header.dtype == Dtype::kVoid) {
      manifest_.metadata["dtype of " + info.name] =
          header.descr + ": opaque bytes, as NumPy writes bfloat16 (2) and float8 (1)";
    }
    return header.dtype == Dtype::kString ? MeasureStrings(listed) : Status();
  }

  static Status CheckKind(const NpyHeader& header) {
    const auto refuse = [&](ErrorCode code, const std::string& message) {
      return Fail(Error{code, message}.At(kNpyMagic.size()));
    };
    if (header.kind == NpyKind::kObject) {
      return refuse(ErrorCode::kUnsafe,
                    "is an array of Python objects, which are pickled: never loaded");
    }
    // Chunks of a stream hold whole elements.
    const bool odd_void = header.dtype == Dtype::kVoid && header.item_bytes != 0 &&
                          kStreamChunkBytes % header.item_bytes != 0;
    const bool empty_items = header.item_bytes == 0 && header.shape.element_count() != 0;
    const bool long_text = header.dtype == Dtype::kString && header.item_bytes > kMaxTextItem;
    if (header.kind == NpyKind::kUnsupported || odd_void || empty_items || long_text) {
      return refuse(ErrorCode::kUnsupported,
                    "has the NumPy dtype " + header.descr + ", which is not read");
    }
    return {};
  }

  Status MeasureStrings(Listed& listed) {
    TensorInfo& info = listed.info;
    if (info.byte_size > string_budget_) {
      return Fail(ErrorCode::kLimitExceeded, "holds more text than is read at opening");
    }
    string_budget_ -= info.byte_size;
    info.byte_size = 0;
    CKPT_ASSIGN_OR_RETURN(const auto stream, file_.Open(listed.array, info.name));
    while (true) {
      CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
      if (chunk.empty()) return {};
      info.byte_size += chunk.size();
    }
  }

  std::unique_ptr<Checkpoint> Finish() {
    std::sort(listed_.begin(), listed_.end(),
              [](const Listed& a, const Listed& b) { return a.info.name < b.info.name; });
    manifest_.resolved = path_.string();
    manifest_.files = {path_.string()};
    std::vector<StoredArray> arrays;
    for (Listed& listed : listed_) {
      const TensorId id{static_cast<std::uint32_t>(arrays.size())};
      if (listed.fault) manifest_.problems.push_back({*std::move(listed.fault), {id}});
      manifest_.tensors.push_back(std::move(listed.info));
      arrays.push_back(std::move(listed.array));
    }
    return std::make_unique<NpzCheckpoint>(std::move(manifest_), std::move(file_),
                                           std::move(arrays));
  }

  NpyArrays file_;
  std::filesystem::path path_;
  std::uint64_t string_budget_;  // bytes of text that may still be read at opening
  Manifest manifest_;
  std::vector<Listed> listed_;
};

std::string_view AsText(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace

Match ProbeNpz(const ProbeInput& input) {
  const bool by_suffix = input.file_name.ends_with(".npz") || input.file_name.ends_with(kSuffix);
  if (AsText(input.head).starts_with(kNpyMagic)) return Match::kCertain;
  if (!StartsLikeZip(input.head)) return by_suffix ? Match::kLikely : Match::kNo;
  const std::vector<std::string_view> names = ZipNamesInTail(input.tail);
  const auto ends_with = [&](std::string_view suffix) {
    return std::count_if(names.begin(), names.end(),
                         [&](std::string_view name) { return name.ends_with(suffix); });
  };
  if (ends_with("data.pkl") + ends_with("config.json") + ends_with(".weights.h5") > 0) {
    return Match::kNo;
  }
  const auto arrays = ends_with(kSuffix);
  if (arrays > 0 && static_cast<std::size_t>(arrays) == names.size()) return Match::kCertain;
  return arrays > 0 || by_suffix ? Match::kLikely : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenNpz(const Files& files, const std::filesystem::path& path,
                                            const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(std::unique_ptr<RandomAccessFile> opened, files.Open(path));
  const SharedFile file = std::move(opened);
  std::array<std::byte, 8> bytes;
  const auto head = std::span(bytes).first(
      static_cast<std::size_t>(std::min<std::uint64_t>(file->size(), bytes.size())));
  CKPT_RETURN_IF_ERROR(file->ReadAt(0, head));
  const std::string_view start = AsText(head);
  if (start.starts_with(kNpyMagic) || (path.extension() == kSuffix && !StartsLikeZip(head))) {
    return Opener(NpyArrays(file, std::nullopt), path, limits).OpenLoneArray();
  }
  CKPT_ASSIGN_OR_RETURN(ZipArchive archive, ZipArchive::Open(file, limits));
  return Opener(NpyArrays(file, std::move(archive)), path, limits).OpenArchive();
}

}  // namespace ckpt::formats
