// Plans over checkpoints held in memory, and what they write.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "ckpt/convert.h"
#include "tests/support/memory_checkpoint.h"

namespace ckpt::testing {

inline Result<ConversionPlan> PlanOf(const MemoryCheckpoint& checkpoint,
                                     const ConvertOptions& options, const AuditResult& audit = {}) {
  return PlanConversion(checkpoint, Analyse(checkpoint.manifest(), {.epsilon = 0.0}), audit,
                        options);
}

inline std::vector<std::string> NamesOf(const ConversionPlan& plan) {
  std::vector<std::string> names;
  for (const FoldedTensor& tensor : plan.tensors) names.push_back(tensor.info.name);
  return names;
}

inline std::map<std::string, std::string> Reasons(const ConversionPlan& plan) {
  std::map<std::string, std::string> reasons;
  for (const Dropped& dropped : plan.dropped) reasons[dropped.name] = InWords(dropped);
  return reasons;
}

inline std::vector<std::byte> BytesOf(const Checkpoint& checkpoint, const ConversionPlan& plan,
                                      std::size_t index) {
  auto stream = OpenPlanned(checkpoint, plan, index);
  EXPECT_TRUE(stream);
  std::vector<std::byte> bytes;
  while (stream) {
    const auto piece = (*stream)->Next();
    EXPECT_TRUE(piece) << (piece ? "" : ToString(piece.error()));
    if (!piece || piece->empty()) break;
    bytes.insert(bytes.end(), piece->begin(), piece->end());
  }
  EXPECT_EQ(bytes.size(), plan.tensors[index].info.byte_size);
  return bytes;
}

inline std::vector<double> ValuesOf(const Checkpoint& checkpoint, const ConversionPlan& plan,
                                    const std::string& name) {
  for (std::size_t i = 0; i < plan.tensors.size(); ++i) {
    const TensorInfo& info = plan.tensors[i].info;
    if (info.name != name) continue;
    std::vector<double> values(info.shape.element_count());
    DecodeToDouble(info.dtype, BytesOf(checkpoint, plan, i), values);
    return values;
  }
  ADD_FAILURE() << name << " is not written";
  return {};
}

}  // namespace ckpt::testing
