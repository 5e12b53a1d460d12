#include "formats/torch/pickle_writer.h"

#include <bit>
#include <utility>
#include <vector>

#include "formats/encoding/json_events.h"
#include "formats/torch/torch_dtype.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kBatch = 1000;  // items of one SETITEMS, as Python's pickler has it
constexpr unsigned kMaxJsonDepth = 8;

class PickleWriter {
 public:
  void Op(char opcode) { out_ += opcode; }
  void Global(std::string_view module, std::string_view name) {
    out_ += 'c';
    out_ += module;
    out_ += '\n';
    out_ += name;
    out_ += '\n';
  }
  void Text(std::string_view text) {
    out_ += 'X';
    Little(text.size(), 4);
    out_ += text;
  }
  void Number(std::uint64_t value) {
    if (value < 0x100) {
      out_ += 'K';
      Little(value, 1);
    } else if (value < 0x10000) {
      out_ += 'M';
      Little(value, 2);
    } else if (value < 0x80000000) {
      out_ += 'J';
      Little(value, 4);
    } else {
      // LONG1: two's complement, so that the highest bit must be clear.
      const unsigned bytes = static_cast<unsigned>(std::bit_width(value)) / 8 + 1;
      out_ += '\x8a';
      Little(bytes, 1);
      Little(value, bytes);
    }
  }
  void Numbers(std::span<const std::int64_t> values) {
    if (values.empty()) return Op(')');
    if (values.size() > 3) Op('(');
    for (const std::int64_t value : values) Number(static_cast<std::uint64_t>(value));
    out_ += values.size() > 3 ? 't' : static_cast<char>(0x84 + values.size());
  }
  void EmptyOrderedDict() {
    Global("collections", "OrderedDict");
    Op(')');
    Op('R');
  }
  std::string Take() { return std::move(out_); }

 private:
  void Little(std::uint64_t value, unsigned bytes) {
    for (unsigned i = 0; i < bytes; ++i) {
      out_ += i < 8 ? static_cast<char>((value >> (8 * i)) & 0xFF) : '\0';
    }
  }
  std::string out_;
};

std::vector<std::int64_t> ContiguousStrides(const Shape& shape) {
  std::vector<std::int64_t> strides(shape.rank(), 1);
  for (std::size_t i = shape.rank(); i-- > 1;) {
    strides[i - 1] = strides[i] * std::max<std::int64_t>(shape[i], 1);
  }
  return strides;
}

void WriteTensor(PickleWriter& out, const TensorInfo& tensor, const std::string& key) {
  const TorchDtype& type = *TorchDtypeFor(tensor.dtype);
  const bool typed = type.storage.empty();
  out.Global("torch._utils", typed ? "_rebuild_tensor_v3" : "_rebuild_tensor_v2");
  out.Op('(');
  out.Op('(');
  out.Text("storage");
  out.Global(typed ? "torch.storage" : "torch", typed ? "UntypedStorage" : type.storage);
  out.Text(key);
  out.Text("cpu");
  out.Number(typed ? tensor.byte_size : tensor.shape.element_count());
  out.Op('t');
  out.Op('Q');
  out.Number(0);  // offset
  out.Numbers(tensor.shape.dims());
  out.Numbers(ContiguousStrides(tensor.shape));
  out.Op('\x89');          // requires no gradient
  out.EmptyOrderedDict();  // no hooks
  if (typed) out.Global("torch", type.name);
  out.Op('t');
  out.Op('R');
}

struct ModuleVersion {
  std::string module;
  std::uint64_t version = 0;
};

std::vector<ModuleVersion> ParseModuleVersions(std::string_view json) {
  std::vector<ModuleVersion> versions;
  std::string module, key;
  const Status parsed = ParseJson({json, 0, ""}, kMaxJsonDepth, [&](const JsonEvent& event) {
    if (event.kind == JsonKind::kKey && event.depth == 1) module = event.text;
    if (event.kind == JsonKind::kKey && event.depth == 2) key = event.text;
    const bool version = event.kind == JsonKind::kUnsigned && event.depth == 2 && key == "version";
    if (version) versions.push_back({module, event.number});
    return Status();
  });
  if (!parsed) versions.clear();
  return versions;
}

void WriteModuleVersions(PickleWriter& out, const std::vector<ModuleVersion>& versions) {
  out.Op('}');
  out.Text("_metadata");
  out.EmptyOrderedDict();
  out.Op('(');
  for (const ModuleVersion& module : versions) {
    out.Text(module.module);
    out.Op('}');
    out.Text("version");
    out.Number(module.version);
    out.Op('s');
  }
  out.Op('u');
  out.Op('s');
  out.Op('b');
}

}  // namespace

std::string PickleStateDict(std::span<const TensorInfo> tensors,
                            std::span<const std::size_t> storages,
                            std::string_view module_versions) {
  PickleWriter out;
  out.Op('\x80');
  out.Op('\x02');
  out.EmptyOrderedDict();
  for (std::size_t i = 0; i < tensors.size(); ++i) {
    if (i % kBatch == 0) out.Op('(');
    out.Text(tensors[i].name);
    WriteTensor(out, tensors[i], std::to_string(storages[i]));
    if (i % kBatch == kBatch - 1 || i + 1 == tensors.size()) out.Op('u');
  }
  const std::vector<ModuleVersion> versions = ParseModuleVersions(module_versions);
  if (!versions.empty()) WriteModuleVersions(out, versions);
  out.Op('.');
  return out.Take();
}

}  // namespace ckpt::formats
