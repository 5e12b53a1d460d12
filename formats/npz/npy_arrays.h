// The arrays of one file, an archive or a lone .npy, as streams.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "ckpt/tensor.h"
#include "formats/container/file.h"
#include "formats/container/zip_archive.h"
#include "formats/npz/npy_header.h"
#include "formats/npz/text_stream.h"

namespace ckpt::formats {

struct StoredArray {
  NpyHeader header;
  std::optional<std::size_t> member;  // of the archive; none for a lone .npy
};

// Are the stored bytes what a stream yields: plain, little-endian, in C order?
bool IsStoredAsStreamed(const NpyHeader& header);

class NpyArrays {
 public:
  // `archive` is over `file`; none for a lone .npy.
  NpyArrays(std::shared_ptr<const RandomAccessFile> file, std::optional<ZipArchive> archive)
      : file_(std::move(file)), archive_(std::move(archive)) {}

  const RandomAccessFile& file() const { return *file_; }
  const ZipArchive& archive() const { return *archive_; }

  // REQUIRES: array.header was read from this file, is of a kind that can be read, and its data
  // are all there. Errors name the tensor `name`.
  Result<std::unique_ptr<TensorStream>> Open(const StoredArray& array,
                                             const std::string& name) const;

 private:
  std::unique_ptr<TensorStream> Raw(const StoredArray& array, const std::string& name) const;
  Result<std::unique_ptr<TensorStream>> Gather(const StoredArray& array,
                                               const std::string& name) const;

  std::shared_ptr<const RandomAccessFile> file_;
  std::optional<ZipArchive> archive_;
};

}  // namespace ckpt::formats
