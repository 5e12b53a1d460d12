#include "ckpt/network/bind_network.h"

#include <algorithm>
#include <set>
#include <utility>

namespace ckpt {
namespace {

constexpr std::uint64_t kMostInline = std::uint64_t{1} << 16;  // elements

Error Unfit(std::string message, const std::string& tensor) {
  Error error{ErrorCode::kUnfit, std::move(message)};
  error.tensor = tensor;
  return error;
}

// A number that stands in the graph and in no file of names, such as a scale or a table of anchors.
Result<network::Constant> HeldInGraph(const network::StoredConstant& stored,
                                      const Checkpoint& model) {
  const TensorInfo& info = model.manifest().tensors[stored.tensor.index];
  const bool number = info.section == Section::kConstant && IsReal(info.dtype);
  if (!number || !stored.order.empty() || info.shape.element_count() > kMostInline) {
    return Fail(
        Unfit("is read by the network of the graph, and is no tensor of the input", info.name));
  }
  network::InlineConstant held;
  held.shape =
      stored.shape.value_or(network::Sizes(info.shape.dims().begin(), info.shape.dims().end()));
  held.kind = IsFloat(info.dtype) ? network::ElementKind::kReal : network::ElementKind::kInteger;
  CKPT_ASSIGN_OR_RETURN(held.elements, ReadDoubles(model, stored.tensor, kMostInline));
  return network::Constant(std::move(held));
}

const network::StoredConstant* StoredIn(const network::Value& value) {
  return value.constant ? std::get_if<network::StoredConstant>(&*value.constant) : nullptr;
}

// Does the file know the tensors of the network by their keys alone, and none by its name?
bool GoByKey(const network::Network& net, const Manifest& model, const Manifest& names) {
  return std::none_of(net.values.begin(), net.values.end(), [&](const network::Value& value) {
    const network::StoredConstant* const stored = StoredIn(value);
    return stored != nullptr && FindTensor(names, model.tensors[stored->tensor.index].name);
  });
}

}  // namespace

Status BindNetwork(network::Network& net, const Checkpoint& model, const Manifest& names) {
  std::set<std::uint32_t> bound;
  const bool by_key = GoByKey(net, model.manifest(), names);
  for (network::Value& value : net.values) {
    auto* stored =
        value.constant ? std::get_if<network::StoredConstant>(&*value.constant) : nullptr;
    if (stored == nullptr) continue;
    const TensorInfo& wanted = model.manifest().tensors[stored->tensor.index];
    const auto found = FindTensor(names, by_key ? wanted.stored_as : wanted.name);
    if (!found) {
      CKPT_ASSIGN_OR_RETURN(value.constant, HeldInGraph(*stored, model));
      continue;
    }
    const TensorInfo& tensor = names.tensors[found->index];
    if (tensor.shape != wanted.shape) {
      return Fail(Unfit("has the shape " + ToString(tensor.shape) + ", and " +
                            ToString(wanted.shape) + " in the network of the graph",
                        tensor.name));
    }
    stored->tensor = *found;
    bound.insert(found->index);
  }
  for (std::uint32_t i = 0; i < names.tensors.size(); ++i) {
    const TensorInfo& tensor = names.tensors[i];
    if (bound.contains(i) || tensor.section != Section::kModel || !IsFloat(tensor.dtype)) continue;
    return Fail(
        Unfit("is a tensor of the input that the network of the graph does not read", tensor.name));
  }
  return {};
}

}  // namespace ckpt
