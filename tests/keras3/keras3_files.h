// The fixtures of testdata/keras3, and archives put together anew from their parts.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <map>
#include <string>

#include "formats/container/zip_archive.h"
#include "formats/keras/variables/keras_archive.h"
#include "formats/keras/variables/keras_weights.h"
#include "tests/support/expected_tensors.h"
#include "tests/support/paths.h"
#include "tests/support/zip_builder.h"

namespace ckpt::testing {

inline std::string Keras3Path(const std::string& name) {
  return ckpt::testing::TestData() + "/keras3/" + name;
}

inline std::string FileBytes(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  EXPECT_TRUE(file.is_open()) << path;
  return {std::istreambuf_iterator<char>(file), {}};
}

inline std::unique_ptr<Checkpoint> OpenArchive(const std::string& name) {
  auto opened = formats::OpenKerasArchive(formats::SystemFiles(), Keras3Path(name), {});
  if (!opened) ADD_FAILURE() << ToString(opened.error());
  return opened ? *std::move(opened) : nullptr;
}

inline Result<std::unique_ptr<Checkpoint>> OpenArchiveBytes(const std::string& bytes,
                                                            const formats::Limits& limits = {}) {
  // The child that reads HDF5 needs no descriptor for bytes in memory.
  static formats::MemoryFiles files;
  files = {};
  files.Add("m.keras", bytes);
  return formats::OpenKerasArchive(files, "m.keras", limits);
}

// The members of a fixture.
inline std::map<std::string, std::string> MembersOf(const std::string& name) {
  std::shared_ptr<const formats::RandomAccessFile> file =
      *formats::SystemFiles().Open(Keras3Path(name));
  const auto archive = formats::ZipArchive::Open(file, {});
  std::map<std::string, std::string> members;
  for (std::size_t i = 0; i < archive->members().size(); ++i) {
    members[archive->members()[i].name] = *archive->Read(i, 1 << 28);
  }
  return members;
}

inline std::string ArchiveOf(const std::map<std::string, std::string>& members) {
  ZipFile zip;
  for (const auto& [name, bytes] : members) zip.parts.push_back(Stored(name, bytes));
  return zip.Build();
}

inline std::string Replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  if (at == std::string::npos) return text;
  return text.replace(at, from.size(), to);
}

inline const TensorInfo* Info(const Checkpoint& checkpoint, const std::string& name) {
  const auto id = FindTensor(checkpoint.manifest(), name);
  EXPECT_TRUE(id.has_value()) << name;
  return id ? &checkpoint.manifest().tensors[id->index] : nullptr;
}

inline std::string StoredAs(const Checkpoint& checkpoint, const std::string& name) {
  const TensorInfo* info = Info(checkpoint, name);
  return info ? info->stored_as : "";
}

}  // namespace ckpt::testing
