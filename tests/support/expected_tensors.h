// Compares what a reader sees with an `*.expected.json` that the producing framework wrote
// (testdata/generators/expected.py says what is in it).
#pragma once

#include <gtest/gtest.h>

#include <cstdio>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"
#include "formats/encoding/byte_reader.h"
#include "formats/encoding/checksum.h"

namespace ckpt::testing {

inline nlohmann::json ReadExpected(const std::string& path) {
  std::ifstream file(path);
  EXPECT_TRUE(file.is_open()) << path;
  return nlohmann::json::parse(file);
}

inline std::vector<std::byte> AllBytes(const Checkpoint& checkpoint, TensorId id) {
  auto bytes = ReadBytes(checkpoint, id, std::uint64_t{1} << 30);
  if (!bytes) ADD_FAILURE() << ToString(bytes.error());
  return bytes ? *bytes : std::vector<std::byte>();
}

// The elements of a string tensor's stream, one after the other; their lengths in `lengths`.
inline std::vector<std::byte> StringElements(std::span<const std::byte> stream,
                                             std::vector<std::uint64_t>& lengths) {
  formats::ByteReader reader(stream);
  std::vector<std::byte> elements;
  while (reader.ok() && reader.remaining() > 0) {
    lengths.push_back(reader.U64());
    const auto element = reader.Bytes(lengths.back());
    elements.insert(elements.end(), element.begin(), element.end());
  }
  EXPECT_TRUE(reader.ok());
  return elements;
}

inline std::string HexCrc(std::span<const std::byte> bytes) {
  char text[9];
  std::snprintf(text, sizeof text, "%08x", formats::Crc32(bytes));
  return text;
}

// One entry of "tensors" against the tensor of that name (`name` where the file gives it another).
inline void ExpectTensor(const Checkpoint& checkpoint, const nlohmann::json& expected,
                         const std::string& name) {
  SCOPED_TRACE(name);
  const auto id = FindTensor(checkpoint.manifest(), name);
  ASSERT_TRUE(id.has_value());
  const TensorInfo& info = checkpoint.manifest().tensors[id->index];
  EXPECT_EQ(DtypeFromName(expected["dtype"].get<std::string>()), info.dtype) << Name(info.dtype);
  const auto dims = expected["shape"].get<std::vector<std::int64_t>>();
  EXPECT_EQ(std::vector<std::int64_t>(info.shape.dims().begin(), info.shape.dims().end()), dims);
  const std::vector<std::byte> bytes = AllBytes(checkpoint, *id);
  EXPECT_EQ(bytes.size(), info.byte_size);
  if (expected.contains("lengths")) {
    std::vector<std::uint64_t> lengths;
    const auto elements = StringElements(bytes, lengths);
    EXPECT_EQ(lengths, expected["lengths"].get<std::vector<std::uint64_t>>());
    EXPECT_EQ(HexCrc(elements), expected["crc32"]);
    return;
  }
  EXPECT_EQ(info.byte_size, expected["bytes"].get<std::uint64_t>());
  EXPECT_EQ(HexCrc(bytes), expected["crc32"]);
}

// Every tensor of the list, and no other.
inline void ExpectTensors(const Checkpoint& checkpoint, const nlohmann::json& expected) {
  for (const auto& tensor : expected["tensors"]) {
    ExpectTensor(checkpoint, tensor, tensor["name"].get<std::string>());
  }
  EXPECT_EQ(checkpoint.manifest().tensors.size(), expected["tensors"].size());
}

}  // namespace ckpt::testing
