#include "tests/fuzz/sealed_mutation.h"

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "formats/container/file.h"
#include "formats/container/zip_archive.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/checksum.h"
#include "tests/support/zip_builder.h"

namespace ckpt::fuzz {
namespace {

constexpr std::size_t kFooterBytes = 48, kTrailerBytes = 5;
constexpr std::uint64_t kMaxMember = std::uint64_t{1} << 20;

struct Handle {
  std::size_t offset, size;
};

// The next block handle, if it lies in a file of `file_size` with the trailer behind it.
std::optional<Handle> TakeHandle(formats::ByteReader& reader, std::size_t file_size) {
  const std::uint64_t offset = reader.Varint64(), size = reader.Varint64();
  std::uint64_t whole = 0;
  if (!reader.ok() || !formats::CheckedAdd(size, kTrailerBytes, &whole) ||
      !formats::RangeFits(offset, whole, file_size)) {
    return std::nullopt;
  }
  return Handle{static_cast<std::size_t>(offset), static_cast<std::size_t>(size)};
}

formats::ByteReader ReaderOf(std::string_view bytes) {
  return formats::ByteReader(std::as_bytes(std::span(bytes)));
}

void Seal(std::string& table, const Handle& block) {
  const std::string_view covered(table.data() + block.offset, block.size + 1);
  const std::uint32_t crc = formats::MaskCrc(formats::Crc32c(std::as_bytes(std::span(covered))));
  table.replace(block.offset + block.size + 1, 4, testing::Little(crc, 4));
}

}  // namespace

std::string MutateZipMember(const std::string& archive, std::minstd_rand& random,
                            const Mutate& mutate) {
  formats::MemoryFiles files;
  files.Add("m", std::string_view(archive));
  const auto opened = formats::ZipArchive::Open(*files.Open("m"), {});
  if (!opened || opened->members().empty()) return archive;
  testing::ZipFile zip;
  const std::size_t chosen = random() % opened->members().size();
  for (std::size_t i = 0; i < opened->members().size(); ++i) {
    auto bytes = opened->Read(i, kMaxMember);
    if (!bytes) return archive;
    if (i == chosen) *bytes = mutate(*std::move(bytes));
    zip.parts.push_back(testing::Stored(opened->members()[i].name, *std::move(bytes)));
  }
  return zip.Build();
}

std::string SealTableBlocks(std::string table) {
  if (table.size() < kFooterBytes) return table;
  const std::string footer = table.substr(table.size() - kFooterBytes);
  formats::ByteReader handles = ReaderOf(footer);
  const auto metaindex = TakeHandle(handles, table.size());
  const auto index = TakeHandle(handles, table.size());
  if (!metaindex || !index) return table;
  // The entries of the index: shared and own bytes of the key, bytes of the value, which is a
  // handle.
  const std::string entries = table.substr(index->offset, index->size);
  formats::ByteReader reader = ReaderOf(entries);
  while (reader.ok() && reader.remaining() > 0) {
    reader.Varint64();
    const std::uint64_t own = reader.Varint64(), value = reader.Varint64();
    reader.Bytes(own);
    formats::ByteReader handle = ReaderOf(reader.Text(value));
    if (const auto block = TakeHandle(handle, table.size())) Seal(table, *block);
  }
  Seal(table, *metaindex);
  Seal(table, *index);
  return table;
}

}  // namespace ckpt::fuzz
