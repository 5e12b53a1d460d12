// V1 checkpoints put together by hand, so that any part of them can be wrong.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "formats/tf_bundle/slice_key.h"
#include "formats/tf_proto/saved_tensor_slices.pb.h"
#include "tests/tf_bundle/bundle_builder.h"

namespace ckpt::formats {

// Field `number`, length-delimited.
inline std::string Field(std::uint64_t number, const std::string& bytes) {
  return Varint(number << 3 | 2) + Varint(bytes.size()) + bytes;
}

inline std::string Floats(const std::vector<float>& values) {
  std::string bytes;
  for (const float value : values) {
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof bits);
    bytes += Fixed32(bits);
  }
  return bytes;
}

// One file. `Add` lists a tensor with a single slice that is all of it.
class SavedFileBuilder {
 public:
  void Add(const std::string& name, std::int32_t type, const std::vector<std::int64_t>& dims,
           const std::string& proto) {
    auto* tensor = AddTensor(name, type, dims);
    auto* slice = tensor->add_slice();
    for (std::size_t i = 0; i < dims.size(); ++i) slice->add_extent();
    AddData(EncodeSliceKey(name, std::vector<SliceExtent>(dims.size())), name, proto);
  }

  // Lists a tensor without slices.
  tf_proto::SavedSliceMeta* AddTensor(const std::string& name, std::int32_t type,
                                      const std::vector<std::int64_t>& dims) {
    auto* tensor = head.mutable_meta()->add_tensor();
    tensor->set_name(name);
    tensor->set_type(type);
    for (const std::int64_t dim : dims) tensor->mutable_shape()->add_dim()->set_size(dim);
    return tensor;
  }

  void AddSlice(tf_proto::SavedSliceMeta* tensor, const std::vector<SliceExtent>& extents,
                const std::string& proto) {
    auto* slice = tensor->add_slice();
    for (const SliceExtent& extent : extents) {
      auto* added = slice->add_extent();
      added->set_start(extent.start);
      if (extent.length != SliceExtent::kAll) added->set_length(extent.length);
    }
    AddData(EncodeSliceKey(tensor->name(), extents), tensor->name(), proto);
  }

  void AddData(const std::string& key, const std::string& name, const std::string& proto) {
    data.emplace_back(key, Field(2, Field(1, name) + Field(2, "") + Field(3, proto)));
  }

  std::string Build() const {
    KeyValues entries = {{"", head.SerializeAsString()}};
    entries.insert(entries.end(), data.begin(), data.end());
    std::sort(entries.begin(), entries.end());
    return TableOf(entries);
  }

  tf_proto::SavedTensorSlicesHead head;
  KeyValues data;
};

}  // namespace ckpt::formats
