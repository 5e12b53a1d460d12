// A checkpoint whose tensors lie in ranges of files as they stand, for formats that need no more.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/network/network.h"
#include "formats/container/file.h"

namespace ckpt::formats {

// Bytes of a file. REQUIRES: they lie within it.
struct FileRange {
  std::size_t file = 0;  // index into the checkpoint's files
  std::uint64_t offset = 0, size = 0;
};

struct StoredTensor {
  // The bytes one after another; a range may end inside of an element.
  std::vector<FileRange> ranges = {};
  // Bytes that stand in no file, in place of ranges.
  std::optional<std::vector<std::byte>> literal = {};
  // How stored elements become those of the manifest, where they are not these: a whole number of
  // elements of `stored_element_bytes` each at a time.
  std::function<void(std::span<const std::byte>, std::vector<std::byte>&)> decode = {};
  std::size_t stored_element_bytes = 1;
};

class StoredTensors : public Checkpoint {
 public:
  using SharedFile = std::shared_ptr<const RandomAccessFile>;

  // `format` must be a literal. `tensors` are as manifest.tensors, each sized as these say.
  StoredTensors(std::string_view format, Manifest manifest, std::vector<SharedFile> files,
                std::vector<StoredTensor> tensors);

  std::string_view format() const noexcept override { return format_; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override;
  Result<network::Network> MakeNetwork() const override {
    return make_network_ ? make_network_(manifest_) : Checkpoint::MakeNetwork();
  }
  // How the network is made where the file has one.
  using MakesNetwork = std::function<Result<network::Network>(const Manifest&)>;
  void set_network(MakesNetwork makes) { make_network_ = std::move(makes); }

 private:
  std::string_view format_;
  Manifest manifest_;
  std::vector<SharedFile> files_;
  std::vector<StoredTensor> tensors_;
  MakesNetwork make_network_ = {};
};

// Sorts both by name, problems and graph following. A name that occurs twice is kCorrupt.
Status SortByName(Manifest& manifest, std::vector<StoredTensor>& tensors);

}  // namespace ckpt::formats
