#include "tests/fuzz/sealed_mutation.h"

#include <cstdint>
#include <optional>
#include <string_view>

#include "formats/container/file.h"
#include "formats/container/zip_archive.h"
#include "formats/encoding/checksum.h"
#include "tests/support/zip_builder.h"

namespace ckpt::fuzz {
namespace {

constexpr std::size_t kFooterBytes = 48, kTrailerBytes = 5;
constexpr std::uint64_t kMaxMember = std::uint64_t{1} << 20;

std::optional<std::uint64_t> TakeVarint(std::string_view& bytes) {
  std::uint64_t value = 0;
  for (unsigned shift = 0; shift < 64 && !bytes.empty(); shift += 7) {
    const auto byte = static_cast<unsigned char>(bytes.front());
    bytes.remove_prefix(1);
    value |= static_cast<std::uint64_t>(byte & 0x7FU) << shift;
    if (byte < 0x80) return value;
  }
  return std::nullopt;
}

struct Handle {
  std::size_t offset, size;
};

// The next block handle of `bytes`, if it lies in a file of `file_size`.
std::optional<Handle> TakeHandle(std::string_view& bytes, std::size_t file_size) {
  const auto offset = TakeVarint(bytes);
  const auto size = TakeVarint(bytes);
  if (!offset || !size || *offset > file_size || *size > file_size - *offset ||
      file_size - *offset - *size < kTrailerBytes) {
    return std::nullopt;
  }
  return Handle{static_cast<std::size_t>(*offset), static_cast<std::size_t>(*size)};
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
  std::string_view rest = footer;
  const auto metaindex = TakeHandle(rest, table.size());
  const auto index = metaindex ? TakeHandle(rest, table.size()) : std::nullopt;
  if (!index) return table;
  // The entries of the index: shared and own bytes of the key, bytes of the value, which is a
  // handle.
  const std::string entries = table.substr(index->offset, index->size);
  rest = entries;
  while (!rest.empty()) {
    const auto shared = TakeVarint(rest);
    const auto own = TakeVarint(rest);
    const auto value = TakeVarint(rest);
    if (!shared || !own || !value || *own > rest.size() || *value > rest.size() - *own) break;
    rest.remove_prefix(static_cast<std::size_t>(*own));
    std::string_view handle = rest.substr(0, static_cast<std::size_t>(*value));
    if (const auto block = TakeHandle(handle, table.size())) Seal(table, *block);
    rest.remove_prefix(static_cast<std::size_t>(*value));
  }
  Seal(table, *metaindex);
  Seal(table, *index);
  return table;
}

}  // namespace ckpt::fuzz
