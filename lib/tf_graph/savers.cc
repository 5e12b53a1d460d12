#include <algorithm>
#include <map>

#include "ckpt/op_saving.h"

namespace ckpt {
namespace {

// The list of strings that an input is, where it is a constant.
const std::vector<std::string>* Strings(const OpBodies& bodies, OpRef at, std::size_t input) {
  for (const OpValue& origin : bodies.OriginsOfInput(at, input).values) {
    const Op& op = bodies.op(origin.at);
    if (op.constant && op.constant->dtype == Dtype::kString) return &op.constant->strings;
  }
  return nullptr;
}

std::string ScopeOf(const OpBodies& bodies, OpRef at) {
  if (at.body != 0) return std::string(bodies.body_name(at.body));
  const std::string& name = bodies.op(at).name;
  const std::size_t slash = name.rfind('/');
  std::string scope = slash == std::string::npos ? name : name.substr(0, slash);
  // Old savers nest the operation: "save/restore_slice".
  return scope;
}

void SortDistinct(std::vector<std::string>& names) {
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
}

class SaverReader {
 public:
  explicit SaverReader(const OpBodies& bodies) : bodies_(bodies), variables_(bodies.graph()) {}

  void Save(OpRef at) {
    const Op& op = bodies_.op(at);
    std::size_t first = 0;
    if (op.type == "SaveV2" || op.type == "SaveSlices") first = 3;
    if (op.type == "Save") first = 2;
    if (first == 0) return;
    OpSaverContents& saver = At(at);
    TakeKeys(at, saver);
    for (std::size_t input = first; input < op.inputs.size(); ++input) {
      for (const OpValue& origin : bodies_.OriginsOfInput(at, input).values) {
        const Op& source = bodies_.op(origin.at);
        if (IsVariableOp(source.type)) saver.variables.push_back(variables_.NameOf(source));
      }
    }
  }

  void Restore(OpRef at) {
    const Op& op = bodies_.op(at);
    if (op.type != "RestoreV2" && op.type != "RestoreSlice" && op.type != "Restore") return;
    TakeKeys(at, At(at));
  }

  std::vector<OpSaverContents> Take() {
    std::vector<OpSaverContents> savers;
    for (auto& [key, saver] : savers_) {
      SortDistinct(saver.keys);
      SortDistinct(saver.variables);
      savers.push_back(std::move(saver));
    }
    return savers;
  }

 private:
  OpSaverContents& At(OpRef at) {
    const std::string scope = ScopeOf(bodies_, at);
    OpSaverContents& saver = savers_[{at.body, scope}];
    saver.scope = scope;
    return saver;
  }

  void TakeKeys(OpRef at, OpSaverContents& saver) {
    const std::vector<std::string>* keys = Strings(bodies_, at, 1);
    if (keys == nullptr) {
      saver.complete = false;
    } else {
      saver.keys.insert(saver.keys.end(), keys->begin(), keys->end());
    }
  }

  const OpBodies& bodies_;
  const OpVariables variables_;
  std::map<std::pair<std::uint32_t, std::string>, OpSaverContents> savers_ = {};
};

template <class Visit>
void ForEachOp(const OpBodies& bodies, const Visit& visit) {
  for (std::uint32_t body = 0; body < bodies.size(); ++body) {
    for (OpId id = 0; id < bodies.body(body).ops.size(); ++id) visit(OpRef{body, id});
  }
}

}  // namespace

bool OpSaverContents::SavesKey(std::string_view key) const {
  return std::binary_search(keys.begin(), keys.end(), key);
}

bool OpSaverContents::SavesVariable(std::string_view name) const {
  return std::binary_search(variables.begin(), variables.end(), name);
}

std::vector<OpSaverContents> FindSavers(const OpBodies& bodies) {
  SaverReader reader(bodies);
  ForEachOp(bodies, [&](OpRef at) { reader.Save(at); });
  return reader.Take();
}

std::vector<OpSaverContents> FindRestores(const OpBodies& bodies) {
  SaverReader reader(bodies);
  ForEachOp(bodies, [&](OpRef at) { reader.Restore(at); });
  return reader.Take();
}

}  // namespace ckpt
