// Tables and bundles put together by hand, so that any part of them can be wrong.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/container/file.h"
#include "formats/encoding/checksum.h"
#include "formats/tf_bundle/tf_bundle.h"
#include "formats/tf_proto/tensor_bundle.pb.h"

namespace ckpt::formats {

inline std::span<const std::byte> Bytes(std::string_view text) {
  return std::as_bytes(std::span(text));
}

inline std::string Varint(std::uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>((value & 0x7f) | 0x80);
  return out + static_cast<char>(value);
}

inline std::string Fixed32(std::uint32_t value) {
  std::string out;
  for (int i = 0; i < 4; ++i) out += static_cast<char>(value >> (8 * i) & 0xff);
  return out;
}

inline std::uint32_t MaskedCrc(std::string_view text) { return MaskCrc(Crc32c(Bytes(text))); }

using KeyValues = std::vector<std::pair<std::string, std::string>>;

inline std::string EntryBytes(std::uint64_t shared, std::string_view suffix,
                              std::string_view value) {
  return Varint(shared) + Varint(suffix.size()) + Varint(value.size()) + std::string(suffix) +
         std::string(value);
}

// The contents of a block from raw entries and restart offsets.
inline std::string BlockContents(const std::string& entries,
                                 const std::vector<std::uint32_t>& restarts) {
  std::string out = entries;
  for (const std::uint32_t restart : restarts) out += Fixed32(restart);
  return out + Fixed32(static_cast<std::uint32_t>(restarts.size()));
}

// A restart at every entry.
inline std::string BlockContents(const KeyValues& entries) {
  std::string bytes;
  std::vector<std::uint32_t> restarts;
  for (const auto& [key, value] : entries) {
    restarts.push_back(static_cast<std::uint32_t>(bytes.size()));
    bytes += EntryBytes(0, key, value);
  }
  return BlockContents(bytes, restarts);
}

// Adds type and checksum.
inline std::string Seal(std::string contents, char type = 0) {
  contents += type;
  return contents + Fixed32(MaskedCrc(contents));
}

inline std::string HandleBytes(std::uint64_t offset, std::uint64_t size) {
  return Varint(offset) + Varint(size);
}

inline std::string FooterBytes(const std::string& metaindex, const std::string& index) {
  std::string out = metaindex + index;
  out.resize(40);
  return out + std::string("\x57\xfb\x80\x8b\x24\x75\x47\xdb", 8);
}

// A table from sealed data blocks; `separators` are the index keys.
struct TableParts {
  std::vector<std::string> blocks;  // sealed
  std::vector<std::string> separators;
  std::string metaindex = Seal(BlockContents("", {0}));
  // What the index says of block i, given the right answer.
  std::function<std::string(std::size_t, std::string)> handle = [](std::size_t, std::string right) {
    return right;
  };
  std::function<std::string(std::string)> index_contents = [](std::string right) { return right; };

  std::string Build() const {
    std::string file;
    KeyValues index;
    for (std::size_t i = 0; i < blocks.size(); ++i) {
      index.emplace_back(separators[i], handle(i, HandleBytes(file.size(), blocks[i].size() - 5)));
      file += blocks[i];
    }
    const std::string metaindex_handle = HandleBytes(file.size(), metaindex.size() - 5);
    file += metaindex;
    const std::string contents = index_contents(BlockContents(index));
    const std::string index_handle = HandleBytes(file.size(), contents.size());
    return file + Seal(contents) + FooterBytes(metaindex_handle, index_handle);
  }
};

inline std::string TableOf(const KeyValues& entries) {
  TableParts parts;
  parts.blocks = {Seal(BlockContents(entries))};
  parts.separators = {entries.empty() ? "" : entries.back().first};
  return parts.Build();
}

// A bundle with one data shard; each entry can be altered before it is written.
class BundleBuilder {
 public:
  using Entry = tf_proto::BundleEntryProto;

  BundleBuilder() {
    header.set_num_shards(1);
    header.mutable_version()->set_producer(1);
  }

  // Stores `bytes` and describes them; `alter` may say something else.
  BundleBuilder& Add(const std::string& key, std::int32_t dtype,
                     const std::vector<std::int64_t>& dims, const std::string& bytes,
                     const std::function<void(Entry&)>& alter = {}) {
    Entry entry;
    entry.set_dtype(dtype);
    entry.mutable_shape();
    for (const std::int64_t dim : dims) entry.mutable_shape()->add_dim()->set_size(dim);
    entry.set_offset(static_cast<std::int64_t>(data.size()));
    entry.set_size(static_cast<std::int64_t>(bytes.size()));
    entry.set_crc32c(MaskedCrc(bytes));
    data += bytes;
    if (alter) alter(entry);
    entries.emplace_back(key, entry.SerializeAsString());
    return *this;
  }
  BundleBuilder& AddRaw(const std::string& key, const std::string& value) {
    entries.emplace_back(key, value);
    return *this;
  }

  std::string Index() const {
    KeyValues all = {{"", header.SerializeAsString()}};
    all.insert(all.end(), entries.begin(), entries.end());
    std::sort(all.begin(), all.end());
    return TableOf(all);
  }
  MemoryFiles Files() const {
    MemoryFiles files;
    files.Add("m.index", Index());
    files.Add("m.data-00000-of-00001", data);
    return files;
  }

  tf_proto::BundleHeaderProto header;
  KeyValues entries;
  std::string data;
};

// The numbers of TensorFlow's DataType that the tests use.
inline constexpr std::int32_t kTfFloat = 1, kTfInt32 = 3, kTfUint8 = 4, kTfString = 7,
                              kTfVariant = 21;

}  // namespace ckpt::formats
