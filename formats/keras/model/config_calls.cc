#include "formats/keras/model/config_calls.h"

#include <algorithm>
#include <map>

namespace ckpt::formats::keras {
namespace {

constexpr std::string_view kConstant = "_CONSTANT_VALUE";

// [layer, node, tensor] or [layer, node, tensor, {...}]
bool IsListRef(const Json& json) {
  return json.is_array() && (json.size() == 3 || json.size() == 4) && json[0].is_string() &&
         json[1].is_number_integer() && (json.size() == 3 || json[3].is_object());
}

bool IsConstant(const Json& json) {
  return json.is_array() && json.size() >= 3 && json[0].is_string() &&
         json[0].get_ref<const std::string&>() == kConstant && json[1].is_number_integer();
}

bool IsKerasTensor(const Json& json) {
  const Json* class_name = Find(json, "class_name");
  return class_name && class_name->is_string() &&
         class_name->get_ref<const std::string&>() == "__keras_tensor__";
}

// [layer, node, tensor] of a __keras_tensor__; null where it is malformed.
const Json* HistoryOf(const Json& tensor) {
  const Json* config = Find(tensor, "config");
  const Json* history = config ? Find(*config, "keras_history") : nullptr;
  return history && history->size() == 3 && IsListRef(*history) ? history : nullptr;
}

RefSite SiteOf(Json& ref, bool keyword, bool repeated) {
  return {&ref[0], &ref[1], &ref[2], nullptr, keyword, repeated};
}

// The members of an object in the order of their keys, or the elements of an array.
std::vector<Json*> Children(Json& json) {
  std::vector<Json*> children;
  if (json.is_array()) {
    for (Json& element : json) children.push_back(&element);
  } else if (json.is_object()) {
    std::map<std::string_view, Json*> sorted;
    for (auto& [key, value] : json.get_ref<Json::object_t&>()) sorted.emplace(key, &value);
    for (const auto& [key, value] : sorted) children.push_back(value);
  }
  return children;
}

void VisitKeras3(Json& json, bool keyword, const RefVisitor& visit) {
  if (IsKerasTensor(json)) {
    if (const Json* history = HistoryOf(json)) {
      RefSite site = SiteOf(*const_cast<Json*>(history), keyword, /*repeated=*/false);
      site.shape = Find(*Find(json, "config"), "shape");
      visit(site);
    }
    return;
  }
  for (Json* child : Children(json)) VisitKeras3(*child, keyword, visit);
}

void VisitKeywords(Json& json, bool repeated, const LayerTest& is_layer, const RefVisitor& visit) {
  if (IsListRef(json) && json.size() == 3 && is_layer(json[0].get_ref<const std::string&>())) {
    visit(SiteOf(json, /*keyword=*/true, repeated));
    return;
  }
  for (Json* child : Children(json)) VisitKeywords(*child, repeated, is_layer, visit);
}

// Visits the positional tensors; collects the objects of keyword arguments.
void VisitPositional(Json& json, std::vector<Json*>& keywords, const RefVisitor& visit) {
  if (IsConstant(json) || IsListRef(json)) {
    if (!IsConstant(json)) visit(SiteOf(json, /*keyword=*/false, /*repeated=*/false));
    if (json.size() == 4) keywords.push_back(&json[3]);
    return;
  }
  for (Json* child : Children(json)) VisitPositional(*child, keywords, visit);
}

// true, false, 1 or 0.
std::optional<bool> ConstantFlag(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_number()) return value.get<double>() != 0;
  return std::nullopt;
}

std::string OddityOfKeywords(const Json& keywords) {
  if (!keywords.is_object()) return "";
  for (const auto& [key, value] : keywords.get_ref<const Json::object_t&>()) {
    if (key == "training" && ConstantFlag(value)) continue;
    if (!IsAbsent(value)) {
      return "called with the argument \"" + key + "\"";
    }
  }
  return "";
}

// One tensor, or a list of nothing but tensors.
template <class IsTensor>
bool IsFlat(const Json& argument, IsTensor is_tensor) {
  if (is_tensor(argument)) return true;
  return argument.is_array() && !argument.empty() &&
         std::all_of(argument.begin(), argument.end(), is_tensor);
}

std::string OddityOfKeras3Call(const Json& call) {
  const Json* arguments = Find(call, "args");
  if (!arguments || !arguments->is_array() || arguments->empty() ||
      !IsFlat((*arguments)[0], IsKerasTensor)) {
    return "called with a structure of tensors";
  }
  for (std::size_t i = 1; i < arguments->size(); ++i) {
    if (!IsAbsent((*arguments)[i])) return "called with several arguments";
  }
  const Json* keywords = Find(call, "kwargs");
  return keywords ? OddityOfKeywords(*keywords) : "";
}

// The keyword arguments of a call; null if there are none.
const Json* KeywordsOf(const Json& call) {
  if (IsKeras3Call(call)) return Find(call, "kwargs");
  if (!call.is_array() || call.empty()) return nullptr;
  if (IsListRef(call) || IsConstant(call)) return call.size() == 4 ? &call[3] : nullptr;
  return KeywordsOf(call[0]);
}

// `visit` is called by `walk` for each tensor of the argument.
template <class Walk>
CallArgument Counted(std::string keyword, const Json& value, bool is_tensor, const Walk& walk) {
  CallArgument argument{std::move(keyword), &value, 0, false};
  walk([&](const RefSite&) { ++argument.tensors; });
  argument.is_tensor = is_tensor && argument.tensors == 1;  // none where it is malformed
  return argument;
}

std::vector<CallArgument> ArgumentsOfKeras3(Json& call) {
  std::vector<CallArgument> arguments;
  const auto add = [&](const std::string& keyword, Json& value) {
    arguments.push_back(Counted(keyword, value, IsKerasTensor(value), [&](const RefVisitor& visit) {
      VisitKeras3(value, !keyword.empty(), visit);
    }));
  };
  for (Json* value : Children(*Find(call, "args"))) add("", *value);
  if (Json* keywords = Find(call, "kwargs"); keywords && keywords->is_object()) {
    std::map<std::string, Json*> sorted;
    for (auto& [key, value] : keywords->get_ref<Json::object_t&>()) sorted.emplace(key, &value);
    for (const auto& [key, value] : sorted) add(key, *value);
  }
  return arguments;
}

// A lone tensor stands in a list of one, or without it.
std::vector<CallArgument> ArgumentsOfKeras2(Json& call, const LayerTest& is_layer) {
  std::vector<CallArgument> arguments;
  std::vector<Json*> keywords;
  Json* first = &call;
  if (!IsListRef(call) && !IsConstant(call) && call.is_array() && call.size() == 1) {
    first = &call[0];
  }
  const bool constant = IsConstant(*first);
  arguments.push_back(
      Counted("", constant ? (*first)[2] : *first, !constant && IsListRef(*first),
              [&](const RefVisitor& visit) { VisitPositional(*first, keywords, visit); }));
  if (keywords.empty()) return arguments;
  std::map<std::string, Json*> sorted;
  for (auto& [key, value] : keywords[0]->get_ref<Json::object_t&>()) sorted.emplace(key, &value);
  for (const auto& [key, value] : sorted) {
    const bool is_tensor = IsListRef(*value) && value->size() == 3 &&
                           is_layer((*value)[0].get_ref<const std::string&>());
    Json& argument = *value;
    arguments.push_back(Counted(key, argument, is_tensor, [&](const RefVisitor& visit) {
      VisitKeywords(argument, /*repeated=*/false, is_layer, visit);
    }));
  }
  return arguments;
}

}  // namespace

std::vector<CallArgument> ArgumentsOfCall(const Json& call, const LayerTest& is_layer) {
  Json& walked = const_cast<Json&>(call);  // the visitors of this file hand out what may be edited
  return IsKeras3Call(call) ? ArgumentsOfKeras3(walked) : ArgumentsOfKeras2(walked, is_layer);
}

bool IsKeras3Call(const Json& call) { return Find(call, "args") != nullptr; }

void VisitCall(Json& call, const LayerTest& is_layer, const RefVisitor& visit) {
  if (IsKeras3Call(call)) {
    VisitKeras3(*Find(call, "args"), /*keyword=*/false, visit);
    if (Json* keywords = Find(call, "kwargs")) VisitKeras3(*keywords, /*keyword=*/true, visit);
    return;
  }
  std::vector<Json*> keywords;
  VisitPositional(call, keywords, visit);
  for (std::size_t i = 0; i < keywords.size(); ++i) {
    VisitKeywords(*keywords[i], /*repeated=*/i > 0, is_layer, visit);
  }
}

void VisitEnds(Json& ends, const RefVisitor& visit) {
  if (IsListRef(ends)) {
    visit(SiteOf(ends, /*keyword=*/false, /*repeated=*/false));
    return;
  }
  for (Json* child : Children(ends)) VisitEnds(*child, visit);
}

std::vector<Json*> CallsIn(Json& inbound_nodes) {
  if (IsListRef(inbound_nodes) || IsKeras3Call(inbound_nodes)) return {&inbound_nodes};
  std::vector<Json*> calls;
  if (inbound_nodes.is_array()) {
    for (Json& call : inbound_nodes) calls.push_back(&call);
  }
  return calls;
}

std::string OddityOfCall(const Json& call) {
  if (IsKeras3Call(call)) return OddityOfKeras3Call(call);
  if (!IsFlat(call, IsListRef)) return "called with a structure of tensors";
  const auto constant = [](const Json& json) { return IsConstant(json); };
  if (IsConstant(call) || std::any_of(call.begin(), call.end(), constant)) {
    return "called with a constant";
  }
  const Json* keywords = KeywordsOf(call);
  return keywords ? OddityOfKeywords(*keywords) : "";
}

std::optional<bool> TrainingOfCall(const Json& call) {
  const Json* keywords = KeywordsOf(call);
  const Json* training = keywords ? Find(*keywords, "training") : nullptr;
  return training ? ConstantFlag(*training) : std::nullopt;
}

void CallForInference(Json& call) {
  Json* first = &call;
  while (!IsListRef(*first)) {
    if (!first->is_array() || first->empty()) return;
    first = &(*first)[0];
  }
  if (first->size() == 3) first->push_back(Json::object());
  (*first)[3]["training"] = false;
}

}  // namespace ckpt::formats::keras
