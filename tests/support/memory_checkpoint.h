// A checkpoint held in memory, so that analyses are tested without any file format.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "ckpt/checkpoint.h"
#include "ckpt/elements.h"

namespace ckpt::testing {

class MemoryCheckpoint : public Checkpoint {
 public:
  // Adds a tensor of `dtype` with these values. Call Seal() after the last one.
  TensorInfo& Add(std::string name, std::vector<std::int64_t> dims,
                  const std::vector<double>& values, Dtype dtype = Dtype::kF32) {
    std::vector<std::byte> bytes(values.size() * BitSize(dtype) / 8);
    EncodeFromDouble(dtype, values, bytes);
    return AddBytes(std::move(name), std::move(dims), std::move(bytes), dtype);
  }
  // The same with the bytes of its stream, for what doubles cannot say.
  TensorInfo& AddBytes(std::string name, std::vector<std::int64_t> dims,
                       std::vector<std::byte> bytes, Dtype dtype) {
    TensorInfo info;
    info.name = info.stored_as = std::move(name);
    info.dtype = dtype;
    info.shape = *Shape::FromDims(dims);
    info.byte_size = bytes.size();
    manifest_.tensors.push_back(info);
    bytes_.push_back(std::move(bytes));
    return manifest_.tensors.back();
  }

  Manifest& mutable_manifest() { return manifest_; }
  // Makes reading this tensor fail.
  void Break(const std::string& name, Error error) { broken_.emplace_back(name, std::move(error)); }

  // Sorts by name, as every manifest is. Ids are stable from here on.
  void Seal() {
    std::vector<std::size_t> order(manifest_.tensors.size());
    for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
    std::sort(order.begin(), order.end(), [&](auto a, auto b) {
      return manifest_.tensors[a].name < manifest_.tensors[b].name;
    });
    std::vector<TensorInfo> tensors;
    std::vector<std::vector<std::byte>> bytes;
    for (const auto i : order) {
      tensors.push_back(std::move(manifest_.tensors[i]));
      bytes.push_back(std::move(bytes_[i]));
    }
    manifest_.tensors = std::move(tensors);
    bytes_ = std::move(bytes);
  }

  std::string_view format() const noexcept override { return format_name; }
  const Manifest& manifest() const noexcept override { return manifest_; }
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override {
    for (const auto& [name, error] : broken_) {
      if (name == manifest_.tensors[id.index].name) return Fail(error);
    }
    return std::unique_ptr<TensorStream>(std::make_unique<Stream>(bytes_[id.index], chunk_bytes));
  }

  std::string format_name = "memory";
  std::size_t chunk_bytes = 64;  // small, so that chunk borders are exercised

 private:
  class Stream : public TensorStream {
   public:
    Stream(std::span<const std::byte> bytes, std::size_t chunk) : bytes_(bytes), chunk_(chunk) {}
    Result<std::span<const std::byte>> Next() override {
      const auto part = bytes_.first(std::min(chunk_, bytes_.size()));
      bytes_ = bytes_.subspan(part.size());
      return part;
    }

   private:
    std::span<const std::byte> bytes_;
    std::size_t chunk_;
  };

  Manifest manifest_;
  std::vector<std::vector<std::byte>> bytes_;
  std::vector<std::pair<std::string, Error>> broken_;
};

}  // namespace ckpt::testing
