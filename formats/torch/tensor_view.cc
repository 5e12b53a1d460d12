#include "formats/torch/tensor_view.h"

#include <algorithm>
#include <array>
#include <utility>

#include "formats/encoding/byte_reader.h"
#include "formats/torch/numpy_array.h"
#include "formats/torch/pickle_mapping.h"
#include "formats/torch/torch_dtype.h"

namespace ckpt::formats {
namespace {

enum class Rebuild : std::uint8_t {
  kNothing,
  kTensor,          // (storage, offset, size, stride[, requires_grad, hooks[, metadata]])
  kTypedTensor,     // (storage, offset, size, stride, requires_grad, hooks, dtype[, metadata])
  kQuantized,       // (storage, offset, size, stride, quantizer, requires_grad, hooks)
  kWrapped,         // (tensor, ...)
  kFromType,        // (function, type, arguments, state)
  kSparse,          // (layout, (indices, values, size, ...))
  kWithoutStorage,  // (dtype, size, stride, requires_grad)
  kSubclass,        // (class, dtype, size, stride, ...) and a state with what it wraps
  kOther,           // a tensor whose parts are not followed
};

struct Rebuilder {
  std::string_view name;
  Rebuild rebuild;
};

// torch/_utils.py of PyTorch 2.13.
constexpr Rebuilder kRebuilders[] = {
    {"torch._utils._rebuild_tensor", Rebuild::kTensor},
    {"torch._utils._rebuild_tensor_v2", Rebuild::kTensor},
    {"torch._utils._rebuild_tensor_v3", Rebuild::kTypedTensor},
    {"torch._utils._rebuild_qtensor", Rebuild::kQuantized},
    {"torch._utils._rebuild_parameter", Rebuild::kWrapped},
    {"torch._utils._rebuild_parameter_with_state", Rebuild::kWrapped},
    {"torch._utils._rebuild_device_tensor_from_cpu_tensor", Rebuild::kWrapped},
    {"torch.nn.parameter.Parameter", Rebuild::kWrapped},
    {"torch.nn.Parameter", Rebuild::kWrapped},
    {"torch.nn.parameter.Buffer", Rebuild::kWrapped},
    {"torch._tensor._rebuild_from_type_v2", Rebuild::kFromType},
    {"torch._tensor._rebuild_from_type", Rebuild::kFromType},
    {"torch.tensor._rebuild_from_type", Rebuild::kFromType},
    {"torch._utils._rebuild_sparse_tensor", Rebuild::kSparse},
    {"torch._utils._rebuild_meta_tensor_no_storage", Rebuild::kWithoutStorage},
    {"torch._utils._rebuild_sparse_csr_tensor", Rebuild::kOther},
    {"torch._utils._rebuild_nested_tensor", Rebuild::kOther},
    {"torch._utils._rebuild_wrapper_subclass", Rebuild::kSubclass},
    {"torch._utils._rebuild_device_tensor_from_numpy", Rebuild::kOther},
    {"torch._utils._rebuild_xla_tensor", Rebuild::kOther},
};

constexpr std::string_view kHarmless[] = {
    "collections.OrderedDict",
    "collections.Counter",
    "collections.defaultdict",
    "torch.Size",
    "torch.device",
    "torch.Tensor",
    "torch.serialization._get_layout",
    "torch._utils._get_layout",
    "_codecs.encode",
    "__builtin__.set",
    "builtins.set",
    "__builtin__.bytearray",
    "builtins.bytearray",
    "__builtin__.complex",
    "builtins.complex",
    "__builtin__.dict",
    "builtins.dict",
    "__builtin__.list",
    "builtins.list",
    "__builtin__.frozenset",
    "builtins.frozenset",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "numpy.ndarray",
    "torch.jit._pickle.build_intlist",
    "torch.jit._pickle.build_tensorlist",
    "torch.jit._pickle.build_doublelist",
    "torch.jit._pickle.build_boollist",
    "torch.jit._pickle.restore_type_tag",
    "torch.per_tensor_affine",
    "torch.per_channel_affine",
    "torch.strided",
    "torch.contiguous_format",
    "torch.channels_last",
    "torch.preserve_format",
};

constexpr unsigned kMaxWrappers = 16;
constexpr std::uint64_t kMaxExpansion = std::uint64_t{1} << 30;

Rebuild RebuildNamed(std::string_view name) {
  const auto* const found = std::find_if(std::begin(kRebuilders), std::end(kRebuilders),
                                         [&](const Rebuilder& f) { return f.name == name; });
  return found == std::end(kRebuilders) ? Rebuild::kNothing : found->rebuild;
}

tl::unexpected<Error> Corrupt(std::string message) {
  return Fail(ErrorCode::kCorrupt, std::move(message));
}

// A function and what it is called with.
struct Invocation {
  std::string_view function;
  Rebuild rebuild = Rebuild::kNothing;
  std::span<const PickleId> arguments;
  bool requires_grad = false;          // a parameter around it wants a gradient
  std::optional<PickleId> state = {};  // of a tensor of a class of its own
};

Invocation InvocationOf(const PickleGraph& graph, PickleId id) {
  if (graph.kind(id) != PickleKind::kObject) return {};
  const PickleObject& object = graph.object(id);
  if (graph.kind(object.callable) != PickleKind::kGlobal) return {};
  const std::string_view name = graph.text(object.callable);
  Invocation call{name, RebuildNamed(name), graph.TupleItems(object.arguments)};
  // Whatever is made of a storage is data, though nobody here knows how it is made.
  const bool of_storage =
      !call.arguments.empty() && graph.kind(call.arguments[0]) == PickleKind::kPersistent;
  if (call.rebuild == Rebuild::kNothing && of_storage) call.rebuild = Rebuild::kOther;
  return call;
}

// The call of `function` itself, where a subclass or a parameter is wrapped around the tensor.
Result<Invocation> Unwrapped(const PickleGraph& graph, PickleId id) {
  Invocation call = InvocationOf(graph, id);
  for (unsigned depth = 0; depth < kMaxWrappers; ++depth) {
    if (call.rebuild == Rebuild::kWrapped) {
      if (call.arguments.empty()) return Corrupt("a parameter is made of nothing");
      if (!IsTensor(graph, call.arguments[0])) return Corrupt("a parameter is made of no tensor");
      const bool requires_grad =
          call.requires_grad ||
          (call.arguments.size() > 1 && graph.kind(call.arguments[1]) == PickleKind::kBool &&
           graph.boolean(call.arguments[1]));
      call = InvocationOf(graph, call.arguments[0]);
      call.requires_grad = requires_grad;
    } else if (call.rebuild == Rebuild::kFromType) {
      if (call.arguments.size() < 3 || graph.kind(call.arguments[0]) != PickleKind::kGlobal ||
          graph.kind(call.arguments[2]) != PickleKind::kTuple) {
        return Corrupt("a tensor of a class of its own is made of other parts than those due");
      }
      const std::string_view inner = graph.text(call.arguments[0]);
      const auto arguments = graph.items(call.arguments[2]);
      const std::optional<PickleId> state =
          call.arguments.size() > 3 ? std::optional(call.arguments[3]) : std::nullopt;
      call = {inner, RebuildNamed(inner), arguments, call.requires_grad, state};
      if (call.rebuild == Rebuild::kNothing) call.rebuild = Rebuild::kOther;
    } else {
      return call;
    }
  }
  return Corrupt("a tensor is wrapped too often");
}

Result<std::uint64_t> Count(const PickleGraph& graph, PickleId id, const char* what) {
  if (graph.kind(id) != PickleKind::kInt || graph.integer(id) < 0) {
    return Corrupt(std::string("its ") + what + " is no number from 0 to 2^63-1");
  }
  return static_cast<std::uint64_t>(graph.integer(id));
}

Result<std::vector<std::int64_t>> Counts(const PickleGraph& graph, PickleId id, const char* what) {
  // torch.Size((2, 3)) as well as (2, 3)
  if (graph.kind(id) == PickleKind::kObject) {
    const auto arguments = graph.TupleItems(graph.object(id).arguments);
    const bool size = graph.IsGlobal(graph.object(id).callable, "torch.Size");
    if (size && arguments.size() == 1) id = arguments[0];
  }
  const bool sequence = graph.kind(id) == PickleKind::kTuple || graph.kind(id) == PickleKind::kList;
  if (!sequence) return Corrupt(std::string("its ") + what + " is no tuple");
  std::vector<std::int64_t> counts;
  for (const PickleId item : graph.items(id)) {
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t count, Count(graph, item, what));
    counts.push_back(static_cast<std::int64_t>(count));
  }
  return counts;
}

// Sets dtype and its sizes.
void SetDtype(TensorView& view, const TorchDtype& type) {
  view.dtype = type.dtype;
  view.element_bytes = type.bytes;
  view.swap_bytes = type.swap_bytes;
  if (type.dtype == Dtype::kVoid) view.remark = "dtype torch." + std::string(type.name);
}

// Do all elements lie within `capacity` elements of the storage?
Status CheckBounds(const TensorView& view, std::uint64_t capacity) {
  if (view.shape.element_count() == 0) return {};
  std::uint64_t last = view.offset;
  for (std::size_t axis = 0; axis < view.shape.rank(); ++axis) {
    std::uint64_t reach = 0;
    const bool fits = CheckedMul(static_cast<std::uint64_t>(view.shape[axis] - 1),
                                 static_cast<std::uint64_t>(view.strides[axis]), &reach) &&
                      CheckedAdd(last, reach, &last);
    if (!fits) return Corrupt("its shape and strides overflow");
  }
  if (last < capacity) return {};
  return Corrupt("reaches element " + std::to_string(last) + " of a storage of " +
                 std::to_string(capacity));
}

// An expanded view (stride 0) may be any number of times larger than what is stored.
void LimitExpansion(TensorView& view) {
  std::uint64_t bytes = 0;
  const bool fits = CheckedMul(view.shape.element_count(), view.element_bytes, &bytes);
  if (fits && bytes <= std::max(view.storage.bytes, kMaxExpansion)) return;
  view.unreadable =
      Error{ErrorCode::kLimitExceeded, "is " + std::to_string(view.storage.bytes) +
                                           " stored bytes repeated to more than 1 GiB"};
}

Status ReadDims(const PickleGraph& graph, PickleId size, PickleId stride, TensorView& view) {
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::int64_t> dims, Counts(graph, size, "shape"));
  CKPT_ASSIGN_OR_RETURN(view.shape, Shape::FromDims(dims));
  CKPT_ASSIGN_OR_RETURN(view.strides, Counts(graph, stride, "stride"));
  if (view.strides.size() == dims.size()) return {};
  return Corrupt("has " + std::to_string(dims.size()) + " dimensions and " +
                 std::to_string(view.strides.size()) + " strides");
}

// {'conj': True}: the values are stored without the operation.
void ReadMetadata(const PickleGraph& graph, PickleId metadata, TensorView& view) {
  if (graph.kind(metadata) != PickleKind::kDict) return;
  const auto items = graph.items(metadata);
  for (std::size_t i = 0; i + 1 < items.size(); i += 2) {
    const bool lazy = graph.IsText(items[i], "conj") || graph.IsText(items[i], "neg");
    if (!lazy || graph.kind(items[i + 1]) != PickleKind::kBool || !graph.boolean(items[i + 1]))
      continue;
    view.unreadable = Error{ErrorCode::kUnsupported,
                            "is stored without its conjugation or negation, which is not applied"};
  }
}

std::string NumberText(const PickleGraph& graph, PickleId id) {
  if (graph.kind(id) == PickleKind::kInt) return std::to_string(graph.integer(id));
  if (graph.kind(id) == PickleKind::kFloat) return std::to_string(graph.real(id));
  return "?";
}

std::string Quantizer(const PickleGraph& graph, PickleId id) {
  const auto parts = graph.TupleItems(id);
  if (parts.size() == 3) {
    return "quantised: scale " + NumberText(graph, parts[1]) + ", zero point " +
           NumberText(graph, parts[2]);
  }
  return "quantised for each channel; scales are not listed";
}

Result<TensorView> ReadStored(const PickleGraph& graph, const Invocation& call) {
  const auto arguments = call.arguments;
  const bool typed = call.rebuild == Rebuild::kTypedTensor;
  if (arguments.size() < (typed ? 7U : 4U) || arguments.size() > 8) {
    return Corrupt("is made by " + std::string(call.function) + " with " +
                   std::to_string(arguments.size()) + " arguments");
  }
  TensorView view;
  if (graph.kind(arguments[0]) != PickleKind::kPersistent) return Corrupt("has no storage");
  CKPT_ASSIGN_OR_RETURN(view.storage, ReadStorageReference(graph, arguments[0]));
  CKPT_ASSIGN_OR_RETURN(view.offset, Count(graph, arguments[1], "offset"));
  CKPT_RETURN_IF_ERROR(ReadDims(graph, arguments[2], arguments[3], view));
  if (typed) {
    const bool named = graph.kind(arguments[6]) == PickleKind::kGlobal;
    const TorchDtype* const type = named ? TorchDtypeNamed(graph.text(arguments[6])) : nullptr;
    if (type == nullptr) {
      return Fail(ErrorCode::kUnsupported,
                  named ? "is of " + std::string(graph.text(arguments[6])) : "has no dtype");
    }
    SetDtype(view, *type);
  } else {
    const auto id = graph.TupleItems(graph.items(arguments[0])[0]);
    const TorchDtype* const type = TorchDtypeOfStorage(graph.text(id[1]));
    if (type == nullptr) return Corrupt("has a storage without a type, and no dtype");
    SetDtype(view, *type);
  }
  if (!CheckedAdd(view.offset, view.storage.view_offset, &view.offset)) {
    return Corrupt("its offset overflows");
  }
  CKPT_RETURN_IF_ERROR(CheckBounds(view, view.storage.bytes / view.element_bytes));
  LimitExpansion(view);
  view.requires_grad = call.requires_grad;
  const std::size_t grad = call.rebuild == Rebuild::kQuantized ? 5 : 4;
  if (arguments.size() > grad && graph.kind(arguments[grad]) == PickleKind::kBool) {
    view.requires_grad = view.requires_grad || graph.boolean(arguments[grad]);
  }
  if (call.rebuild == Rebuild::kQuantized) view.remark = Quantizer(graph, arguments[4]);
  const std::size_t metadata = typed ? 7 : 6;
  if (call.rebuild != Rebuild::kQuantized && arguments.size() > metadata) {
    ReadMetadata(graph, arguments[metadata], view);
  }
  return view;
}

TensorView Unreadable(std::string message) {
  TensorView view;
  view.dtype = Dtype::kVoid;
  view.unreadable = Error{ErrorCode::kUnsupported, std::move(message)};
  return view;
}

Result<TensorView> ReadSparse(const PickleGraph& graph, const Invocation& call) {
  TensorView view = Unreadable("is a sparse tensor, which is listed and not read");
  const auto parts =
      call.arguments.size() > 1 ? graph.TupleItems(call.arguments[1]) : std::span<const PickleId>();
  if (parts.size() < 3) return Corrupt("is a sparse tensor without indices, values and size");
  CKPT_ASSIGN_OR_RETURN(const std::vector<std::int64_t> dims, Counts(graph, parts[2], "shape"));
  CKPT_ASSIGN_OR_RETURN(view.shape, Shape::FromDims(dims));
  return view;
}

Result<TensorView> ReadWithoutStorage(const PickleGraph& graph, const Invocation& call) {
  TensorView view = Unreadable("is a meta tensor: the file has its shape and no values");
  if (call.arguments.size() < 3) return Corrupt("is a meta tensor without a shape");
  CKPT_RETURN_IF_ERROR(ReadDims(graph, call.arguments[1], call.arguments[2], view));
  const bool named = graph.kind(call.arguments[0]) == PickleKind::kGlobal;
  const TorchDtype* type = named ? TorchDtypeNamed(graph.text(call.arguments[0])) : nullptr;
  if (type != nullptr) SetDtype(view, *type);
  return view;
}

Result<TensorView> ReadArray(const PickleGraph& graph, PickleId id) {
  CKPT_ASSIGN_OR_RETURN(const NumpyArray array, ReadNumpyArray(graph, id));
  TensorView view;
  view.dtype = array.dtype;
  view.element_bytes = array.element_bytes;
  view.swap_bytes = array.swap_bytes;
  view.big_endian = array.big_endian;
  view.shape = array.shape;
  view.in_pickle = array.bytes;
  view.storage.elements = array.shape.element_count();
  if (!CheckedMul(view.storage.elements, array.element_bytes, &view.storage.bytes)) {
    return Corrupt("its shape overflows");
  }
  const std::size_t rank = array.shape.rank();
  view.strides.assign(rank, 1);
  for (std::size_t i = 1; i < rank; ++i) {
    const std::size_t axis = array.fortran_order ? i : rank - 1 - i;
    const std::size_t before = array.fortran_order ? axis - 1 : axis + 1;
    view.strides[axis] = view.strides[before] * array.shape[before];
  }
  return view;
}

// Does the placement of a distributed tensor leave a sum to be made over the ranks?
bool HasPartialPlacement(const PickleGraph& graph, PickleId spec) {
  if (graph.kind(spec) != PickleKind::kObject) return true;
  for (const PickleId state : graph.object(spec).states()) {
    const auto placements = ValueOf(graph, state, "placements");
    if (!placements || graph.kind(*placements) != PickleKind::kTuple) continue;
    const auto items = graph.items(*placements);
    return std::any_of(items.begin(), items.end(), [&](PickleId placement) {
      if (graph.kind(placement) != PickleKind::kObject) return true;
      const PickleId callable = graph.object(placement).callable;
      return graph.kind(callable) != PickleKind::kGlobal ||
             graph.text(callable).find("Partial") != std::string_view::npos;
    });
  }
  return true;
}

// A DTensor: the part that one rank holds, which is all of it where nothing is split.
Result<TensorView> ReadDistributed(const PickleGraph& graph, const Invocation& call) {
  const auto& arguments = call.arguments;
  if (arguments.size() < 4 || !call.state) return Corrupt("wraps a tensor without its parts");
  const std::string class_name =
      graph.kind(arguments[0]) == PickleKind::kGlobal ? std::string(graph.text(arguments[0])) : "?";
  TensorView view = Unreadable("is a " + class_name + ", whose parts are not followed");
  CKPT_RETURN_IF_ERROR(ReadDims(graph, arguments[2], arguments[3], view));
  const bool named = graph.kind(arguments[1]) == PickleKind::kGlobal;
  const TorchDtype* type = named ? TorchDtypeNamed(graph.text(arguments[1])) : nullptr;
  if (type != nullptr) SetDtype(view, *type);
  const auto parts = graph.TupleItems(*call.state);  // (__dict__, slots)
  const PickleId state = parts.size() == 2 ? parts[1] : *call.state;
  const auto local = ValueOf(graph, state, "_local_tensor");
  const auto spec = ValueOf(graph, state, "_spec");
  const bool plain = local && spec && class_name.ends_with(".DTensor") &&
                     InvocationOf(graph, *local).rebuild == Rebuild::kTensor;
  if (!plain) return view;
  CKPT_ASSIGN_OR_RETURN(TensorView part, ReadStored(graph, InvocationOf(graph, *local)));
  const bool whole = part.shape == view.shape && !HasPartialPlacement(graph, *spec);
  if (whole) return part;
  view.unreadable = Error{ErrorCode::kUnsupported,
                          "is one rank's part, " + ToString(part.shape) + ", of a DTensor of " +
                              ToString(view.shape) +
                              "; full_tensor() before torch.save gathers it from all ranks"};
  return view;
}

}  // namespace

bool IsTensor(const PickleGraph& graph, PickleId id) {
  return InvocationOf(graph, id).rebuild != Rebuild::kNothing || IsNumpyArray(graph, id);
}

Result<TensorView> ReadTensorView(const PickleGraph& graph, PickleId id) {
  if (IsNumpyArray(graph, id)) return ReadArray(graph, id);
  CKPT_ASSIGN_OR_RETURN(const Invocation call, Unwrapped(graph, id));
  switch (call.rebuild) {
    case Rebuild::kTensor:
    case Rebuild::kTypedTensor:
    case Rebuild::kQuantized:
      return ReadStored(graph, call);
    case Rebuild::kSparse:
      return ReadSparse(graph, call);
    case Rebuild::kWithoutStorage:
      return ReadWithoutStorage(graph, call);
    case Rebuild::kSubclass:
      return ReadDistributed(graph, call);
    default:
      return Unreadable("is made by " + std::string(call.function) +
                        ", whose tensors are listed and not read");
  }
}

Result<StorageReference> ReadStorageReference(const PickleGraph& graph, PickleId persistent) {
  const auto id = graph.TupleItems(graph.items(persistent)[0]);
  if (id.size() < 5 || !graph.IsText(id[0], "storage")) {
    return Corrupt("refers to what is no storage");
  }
  const bool named =
      graph.kind(id[1]) == PickleKind::kGlobal && graph.kind(id[2]) == PickleKind::kText;
  if (!named) return Corrupt("refers to a storage without class and key");
  const std::string_view class_name = graph.text(id[1]);
  const TorchDtype* const type = TorchDtypeOfStorage(class_name);
  if (type == nullptr && !IsUntypedStorage(class_name)) {
    return Fail(ErrorCode::kUnsupported, "has a storage of class " + std::string(class_name));
  }
  StorageReference storage;
  storage.key = graph.text(id[2]);
  storage.element_bytes = type == nullptr ? 1 : type->bytes;
  storage.swap_bytes = type == nullptr ? 0 : type->swap_bytes;
  CKPT_ASSIGN_OR_RETURN(storage.elements, Count(graph, id[4], "number of elements"));
  if (!CheckedMul(storage.elements, storage.element_bytes, &storage.bytes)) {
    return Corrupt("has a storage of " + std::to_string(storage.elements) + " elements");
  }
  if (id.size() > 5 && graph.kind(id[5]) == PickleKind::kTuple) {
    const auto view = graph.items(id[5]);
    if (view.size() != 3) return Corrupt("has a view of a storage that is none");
    CKPT_ASSIGN_OR_RETURN(storage.view_offset, Count(graph, view[1], "offset"));
  }
  return storage;
}

bool IsKnownGlobal(std::string_view name) {
  return RebuildNamed(name) != Rebuild::kNothing || IsNumpyFunction(name) ||
         TorchDtypeOfStorage(name) != nullptr || TorchDtypeNamed(name) != nullptr ||
         IsUntypedStorage(name) ||
         std::find(std::begin(kHarmless), std::end(kHarmless), name) != std::end(kHarmless);
}

}  // namespace ckpt::formats
