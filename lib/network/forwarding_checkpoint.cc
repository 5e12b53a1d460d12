#include "ckpt/forwarding_checkpoint.h"

#include "ckpt/network/network.h"

namespace ckpt {

const std::vector<LayerOrigin>& OriginsOf(const Checkpoint& checkpoint) noexcept {
  static const std::vector<LayerOrigin> kNone;
  const auto* records = dynamic_cast<const RecordsOrigins*>(&checkpoint);
  return records == nullptr ? kNone : records->origins();
}

Result<network::Network> ForwardingCheckpoint::MakeNetwork() const {
  CKPT_ASSIGN_OR_RETURN(network::Network net, inner_.MakeNetwork());
  for (network::Value& value : net.values) {
    auto* stored =
        value.constant ? std::get_if<network::StoredConstant>(&*value.constant) : nullptr;
    if (stored == nullptr) continue;
    const auto place = PlaceOf(stored->tensor);
    if (!place) {
      Error error{ErrorCode::kUnsupported,
                  "is read by the network of the file, and what stands in its place is no tensor "
                  "that the network knows"};
      error.tensor = inner_.manifest().tensors[stored->tensor.index].name;
      return Fail(std::move(error));
    }
    stored->tensor = *place;
  }
  return net;
}

}  // namespace ckpt
