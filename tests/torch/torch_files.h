// Fixtures that PyTorch wrote, and files put together in a test.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/torch/torch.h"
#include "tests/support/paths.h"
#include "tests/support/zip_builder.h"

namespace ckpt::testing {

inline std::string TorchFile(std::string_view name) {
  return ckpt::testing::TestData() + "/torch/" + std::string(name);
}

inline std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline Result<std::unique_ptr<Checkpoint>> OpenFixture(std::string_view name) {
  return formats::OpenTorch(formats::SystemFiles(), TorchFile(name), {});
}

inline Result<std::unique_ptr<Checkpoint>> OpenBytes(std::string_view bytes) {
  formats::MemoryFiles files;
  files.Add("model.pt", bytes);
  return formats::OpenTorch(files, "model.pt", {});
}

// An archive of this pickle and storages named "0", "1", ...
inline std::string TorchArchive(std::string pickle, const std::vector<std::string>& storages = {}) {
  formats::MemoryFiles files;
  ZipFile zip;
  zip.parts.push_back(Stored("archive/data.pkl", std::move(pickle)));
  for (std::size_t i = 0; i < storages.size(); ++i) {
    zip.parts.push_back(Stored("archive/data/" + std::to_string(i), storages[i]));
  }
  zip.parts.push_back(Stored("archive/version", "3\n"));
  return zip.Build();
}

// Opcodes, so that a pickle reads like its listing in pickletools.
namespace pickle {
inline std::string Text(std::string_view text) {
  return "X" + Little(text.size(), 4) + std::string(text);
}
inline std::string Global(std::string_view module, std::string_view name) {
  return "c" + std::string(module) + "\n" + std::string(name) + "\n";
}
inline std::string Int(std::uint32_t value) { return "J" + Little(value, 4); }
inline std::string Long(std::uint64_t value) { return "\x8a\x08" + Little(value, 8); }
inline const std::string kStart = "\x80\x02";
inline const std::string kHooks = Global("collections", "OrderedDict") + ")R";

// The persistent id of a storage, pushed as such.
inline std::string Storage(const std::string& elements, std::string_view key = "0",
                           std::string_view type = "FloatStorage") {
  return "(" + Text("storage") + Global("torch", type) + Text(key) + Text("cpu") + elements + "tQ";
}
// `shape` and `stride` are pickled tuples.
inline std::string Tensor(const std::string& storage, const std::string& offset,
                          const std::string& shape, const std::string& stride) {
  return Global("torch._utils", "_rebuild_tensor_v2") + "(" + storage + offset + shape + stride +
         "\x89" + kHooks + "tR";
}
// A sound vector of four floats in storage "0".
inline std::string Vector() {
  return Tensor(Storage(Int(4)), Int(0), Int(4) + "\x85", Int(1) + "\x85");
}
// {"w": value}
inline std::string StateDict(const std::string& value) {
  return kStart + "}" + Text("w") + value + "s.";
}
}  // namespace pickle

inline const std::string kFourFloats(16, '\x3f');

}  // namespace ckpt::testing
