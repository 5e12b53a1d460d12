#include "formats/keras/variables/variable_output.h"

#include <algorithm>
#include <unordered_map>

#include "formats/container/output_tensor.h"
#include "formats/keras/model/output_layout.h"
#include "formats/keras/variables/old_layers.h"

namespace ckpt::formats::keras {
namespace {

tl::unexpected<Error> Unfit(std::string message, std::string tensor) {
  return Fail(Error{ErrorCode::kUnfit, std::move(message)}.Of(std::move(tensor)));
}

bool IsOptimizer(const LayoutGroup& group) {
  return group.path == "optimizer" || group.path.starts_with("optimizer/");
}

// Does Keras expect variables here that belong to the model?
bool IsOfModel(const LayoutGroup& group) {
  return !IsOptimizer(group) && !group.path.starts_with("metrics") &&
         !group.path.starts_with("_metrics");
}

std::string PathOfVars(const std::string& group) {
  return group.empty() ? "/vars" : "/" + group + "/vars";
}

Hdf5Writer::Charset CharsetOf(std::string_view text) {
  const bool ascii = std::all_of(text.begin(), text.end(), [](char c) { return (c & 0x80) == 0; });
  return ascii ? Hdf5Writer::Charset::kAscii : Hdf5Writer::Charset::kUtf8;
}

class VariablePlanner {
 public:
  explicit VariablePlanner(const OutputModel& model) : model_(model) {
    for (std::size_t i = 0; i < model.tensors.size(); ++i) ids_.emplace(model.tensors[i].name, i);
  }

  Result<VariableOutput> Plan(const VariableLayout& layout) {
    for (const LayoutGroup& group : layout.groups) CKPT_RETURN_IF_ERROR(Place(group));
    for (const LayoutVariable& other : layout.others) {
      const auto tensor = ids_.find(other.tensor);
      if (tensor == ids_.end()) continue;
      output_.variables.push_back({"/" + other.key, tensor->second});
    }
    std::vector<bool> placed(model_.tensors.size(), false);
    for (const PlacedVariable& variable : output_.variables) placed[variable.tensor] = true;
    const auto homeless = std::find(placed.begin(), placed.end(), false);
    if (homeless != placed.end()) {
      return Unfit("no layer of the model has a place for it",
                   model_.tensors[static_cast<std::size_t>(homeless - placed.begin())].name);
    }
    return std::move(output_);
  }

 private:
  Status Place(const LayoutGroup& group) {
    std::size_t here = 0;
    for (const LayoutVariable& variable : group.variables) {
      here += ids_.contains(variable.tensor) ? 1 : 0;
    }
    const bool gone = here == 0 && !group.variables.empty();
    if (gone && IsOptimizer(group)) output_.lost_optimizer = true;
    if (gone && !IsOfModel(group)) return {};
    for (const LayoutVariable& variable : group.variables) {
      const auto tensor = ids_.find(variable.tensor);
      if (tensor == ids_.end()) {
        // Without the group, those behind it would have other numbers.
        return Unfit("Keras expects it among the variables of \"" + group.path +
                         "\", and it is not to be written",
                     variable.tensor);
      }
      output_.variables.push_back({PathOfVars(group.path) + "/" + variable.key, tensor->second});
    }
    output_.groups.push_back(group);
    return {};
  }

  const OutputModel& model_;
  std::unordered_map<std::string_view, std::size_t> ids_;
  VariableOutput output_;
};

}  // namespace

Result<VariableOutput> PlanVariables(const OutputModel& model) {
  const std::string* text = FindDocument(model, kVariableLayoutDocument);
  if (!text) {
    return Unfit(
        "the source does not say which variable of which Keras layer each tensor is; .h5, "
        ".safetensors and others hold tensors by name",
        model.tensors.empty() ? "" : model.tensors[0].name);
  }
  CKPT_ASSIGN_OR_RETURN(const VariableLayout layout, ParseVariableLayout(*text));
  return VariablePlanner(model).Plan(WithOldLayers(layout));
}

Status WriteVariables(Hdf5Writer& file, const OutputModel& model, const VariableOutput& output) {
  CKPT_RETURN_IF_ERROR(file.CreateGroup("/vars"));  // that of the model has to be there
  for (const LayoutGroup& group : output.groups) {
    const std::string path = PathOfVars(group.path);
    CKPT_RETURN_IF_ERROR(file.CreateGroup(path));
    if (!group.name) continue;
    CKPT_RETURN_IF_ERROR(file.SetText(path, "name", *group.name, CharsetOf(*group.name)));
  }
  for (const PlacedVariable& variable : output.variables) {
    const TensorInfo& info = model.tensors[variable.tensor];
    CKPT_RETURN_IF_ERROR(file.CreateDataset(variable.path, info.dtype, info.shape));
    CKPT_RETURN_IF_ERROR(file.SetText(variable.path, "name", info.name, CharsetOf(info.name)));
    CKPT_RETURN_IF_ERROR(PullTensor(model, variable.tensor, [&](std::span<const std::byte> bytes) {
      return file.Append(bytes);
    }));
  }
  return {};
}

Status CanHoldVariable(const TensorInfo& tensor) {
  Status held = Hdf5CanHold(tensor.dtype, tensor.shape);
  if (!held) held.error().tensor = tensor.name;
  return held;
}

}  // namespace ckpt::formats::keras
