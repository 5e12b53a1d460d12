// What a writer is given, from bytes held in memory.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ckpt/formats/format.h"

namespace ckpt::testing {

class RawTensors {
 public:
  RawTensors& Add(std::string name, Dtype dtype, std::vector<std::int64_t> dims,
                  std::string bytes) {
    TensorInfo info;
    info.name = info.stored_as = std::move(name);
    info.dtype = dtype;
    info.shape = *Shape::FromDims(dims);
    info.byte_size = bytes.size();
    tensors_.emplace_back(std::move(info), std::move(bytes));
    return *this;
  }

  // Sorted by name, as a conversion plans it. Must not outlive this object.
  formats::OutputModel Model() {
    std::sort(tensors_.begin(), tensors_.end(),
              [](const auto& a, const auto& b) { return a.first.name < b.first.name; });
    formats::OutputModel model;
    for (const auto& [info, bytes] : tensors_) model.tensors.push_back(info);
    model.open = [this](std::size_t index) -> Result<std::unique_ptr<TensorStream>> {
      return std::unique_ptr<TensorStream>(
          std::make_unique<Stream>(std::as_bytes(std::span(tensors_[index].second))));
    };
    return model;
  }

  const std::string& BytesOf(std::string_view name) const {
    return std::find_if(tensors_.begin(), tensors_.end(),
                        [&](const auto& tensor) { return tensor.first.name == name; })
        ->second;
  }

 private:
  class Stream : public TensorStream {
   public:
    explicit Stream(std::span<const std::byte> left) : left_(left) {}
    Result<std::span<const std::byte>> Next() override {
      // 48 is a whole number of elements of every dtype, and small, so that borders are met.
      const auto part = left_.first(std::min<std::size_t>(left_.size(), 48));
      left_ = left_.subspan(part.size());
      return part;
    }

   private:
    std::span<const std::byte> left_;
  };
  std::vector<std::pair<TensorInfo, std::string>> tensors_;
};

}  // namespace ckpt::testing
