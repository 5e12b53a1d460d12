#include "formats/torch/partial_checkpoint.h"

#include <algorithm>
#include <string_view>

namespace ckpt::formats {
namespace {

std::string_view LastPart(std::string_view name) {
  const std::size_t dot = name.rfind('.');
  return dot == std::string_view::npos ? name : name.substr(dot + 1);
}

bool IsRankState(const NamedTensor& tensor) {
  constexpr std::string_view kGroups[] = {"fp32_flat_groups.", "single_partition_of_fp32_groups."};
  return std::any_of(std::begin(kGroups), std::end(kGroups), [&](std::string_view group) {
    return tensor.stored_as.find(group) != std::string::npos;
  });
}

}  // namespace

std::optional<Error> WhyPartial(const StateTree& tree, const std::vector<TensorView>& views) {
  bool flat = false, rank_state = false;
  std::size_t empty = 0;
  for (std::size_t i = 0; i < tree.tensors.size(); ++i) {
    const std::string_view last = LastPart(tree.tensors[i].name);
    flat = flat || last == "_flat_param" || last == "flat_param" || last.starts_with("flat_param_");
    rank_state = rank_state || IsRankState(tree.tensors[i]);
    empty += tree.tensors[i].of_model && views[i].shape.element_count() == 0 ? 1U : 0U;
  }
  const bool deepspeed = tree.metadata.contains("ds_version");
  if (rank_state || (deepspeed && empty != 0)) {
    return Error{
        ErrorCode::kUnsupported,
        "is one rank's part of a checkpoint of DeepSpeed ZeRO (stage 3 leaves the weights "
        "empty here); `python zero_to_fp32.py FOLDER OUT`, beside the checkpoint's folder, "
        "writes whole weights"};
  }
  if (flat) {
    return Error{
        ErrorCode::kUnsupported,
        "holds the flat parameters of FSDP, in which weights have no names and shapes; save "
        "with StateDictType.FULL_STATE_DICT (or torch.distributed.checkpoint.state_dict."
        "get_model_state_dict with full_state_dict=True)"};
  }
  return std::nullopt;
}

}  // namespace ckpt::formats
