// Zip archives put together record by record, so that a test can lie in any field.
#pragma once

#include <zlib.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace ckpt::testing {

inline std::string Little(std::uint64_t value, unsigned bytes) {
  std::string text;
  for (unsigned i = 0; i < bytes; ++i) text += static_cast<char>((value >> (8 * i)) & 0xFF);
  return text;
}

inline std::uint32_t ZlibCrc(std::string_view bytes) {
  return static_cast<std::uint32_t>(
      ::crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size())));
}

inline std::string Deflate(std::string_view bytes) {
  z_stream zlib{};
  deflateInit2(&zlib, Z_BEST_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&zlib, bytes.size()), '\0');
  zlib.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  zlib.avail_in = static_cast<uInt>(bytes.size());
  zlib.next_out = reinterpret_cast<Bytef*>(out.data());
  zlib.avail_out = static_cast<uInt>(out.size());
  deflate(&zlib, Z_FINISH);
  out.resize(zlib.total_out);
  deflateEnd(&zlib);
  return out;
}

// The fields that both headers of a member have.
struct ZipFields {
  std::string name;
  std::uint16_t flags = 0, method = 0;
  std::uint32_t crc = 0;
  std::uint64_t compressed_size = 0, size = 0;  // the low 32 bits are written
  std::string extra;
};

struct ZipPart {
  std::string before;  // bytes that belong to nothing
  ZipFields local, central;
  std::string data, descriptor;
  std::string comment;
  std::uint16_t disk = 0;
  std::optional<std::uint64_t> header_offset = {};  // a lie in the directory
  std::uint32_t external_attributes = 0;            // the high half: a Unix mode
};

inline ZipPart Stored(std::string name, std::string data) {
  ZipPart part;
  part.local = {std::move(name), 0, 0, ZlibCrc(data), data.size(), data.size(), {}};
  part.central = part.local;
  part.data = std::move(data);
  return part;
}

inline ZipPart Deflated(std::string name, std::string_view inflated) {
  ZipPart part;
  part.data = Deflate(inflated);
  part.local = {std::move(name), 0, 8, ZlibCrc(inflated), part.data.size(), inflated.size(), {}};
  part.central = part.local;
  return part;
}

struct ZipFile {
  std::vector<ZipPart> parts;
  std::string before_directory, before_end, comment, after;
  std::uint16_t disk = 0;
  // Lies of the end record.
  std::optional<std::uint64_t> count = {}, directory_size = {}, directory_offset = {};
  // Offsets of what Build() put down, for expectations.
  std::vector<std::uint64_t> local_offsets = {}, data_offsets = {}, central_offsets = {};
  std::uint64_t directory = 0, end = 0;

  std::string Build() {
    std::string bytes;
    local_offsets.clear();
    data_offsets.clear();
    central_offsets.clear();
    for (const ZipPart& part : parts) {
      bytes += part.before;
      local_offsets.push_back(bytes.size());
      bytes += "PK\x03\x04" + Little(20, 2) + Fields(part.local) +
               Little(part.local.name.size(), 2) + Little(part.local.extra.size(), 2) +
               part.local.name + part.local.extra;
      data_offsets.push_back(bytes.size());
      bytes += part.data + part.descriptor;
    }
    bytes += before_directory;
    directory = bytes.size();
    for (std::size_t i = 0; i < parts.size(); ++i) {
      central_offsets.push_back(bytes.size());
      bytes += Central(parts[i], parts[i].header_offset.value_or(local_offsets[i]));
    }
    const std::uint64_t size = bytes.size() - directory;
    bytes += before_end;
    end = bytes.size();
    const std::uint64_t entries = count.value_or(parts.size());
    bytes += "PK\x05\x06" + Little(disk, 2) + Little(0, 2) + Little(entries, 2) +
             Little(entries, 2) + Little(directory_size.value_or(size), 4) +
             Little(directory_offset.value_or(directory), 4) + Little(comment.size(), 2) + comment;
    return bytes + after;
  }

 private:
  static std::string Fields(const ZipFields& fields) {
    return Little(fields.flags, 2) + Little(fields.method, 2) + Little(0x00210000, 4) +
           Little(fields.crc, 4) + Little(fields.compressed_size, 4) + Little(fields.size, 4);
  }
  static std::string Central(const ZipPart& part, std::uint64_t offset) {
    return "PK\x01\x02" + Little(20, 2) + Little(20, 2) + Fields(part.central) +
           Little(part.central.name.size(), 2) + Little(part.central.extra.size(), 2) +
           Little(part.comment.size(), 2) + Little(part.disk, 2) + Little(0, 2) +
           Little(part.external_attributes, 4) + Little(offset, 4) + part.central.name +
           part.central.extra + part.comment;
  }
};

// The zip64 extra field with these values.
inline std::string Zip64Extra(const std::vector<std::uint64_t>& values) {
  std::string field = Little(1, 2) + Little(values.size() * 8, 2);
  for (const std::uint64_t value : values) field += Little(value, 8);
  return field;
}

// The zip64 end record and its locator, as they stand before the end record of `file`.
inline std::string Zip64End(std::uint64_t count, std::uint64_t size, std::uint64_t offset,
                            std::uint64_t record_offset) {
  return "PK\x06\x06" + Little(44, 8) + Little(45, 2) + Little(45, 2) + Little(0, 4) +
         Little(0, 4) + Little(count, 8) + Little(count, 8) + Little(size, 8) + Little(offset, 8) +
         "PK\x06\x07" + Little(0, 4) + Little(record_offset, 8) + Little(1, 4);
}

}  // namespace ckpt::testing
