#include "cli/name_map.h"

#include <array>
#include <nlohmann/json.hpp>

#include "formats/container/file.h"

namespace ckpt::cli {
namespace {

constexpr std::uint64_t kMaxFileBytes = std::uint64_t{64} << 20;

Error Bad(const std::string& path, std::string message) {
  return Error{ErrorCode::kInvalidArgument, std::move(message)}.In(path);
}

Result<nlohmann::json> ReadJson(const formats::Files& files, const std::string& path,
                                std::uint64_t most_bytes = kMaxFileBytes) {
  CKPT_ASSIGN_OR_RETURN(const auto file, files.Open(path));
  CKPT_ASSIGN_OR_RETURN(const std::string text, formats::ReadWhole(*file, most_bytes));
  nlohmann::json json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded()) return Fail(Bad(path, "is not JSON"));
  return json;
}

// A name with what the file does not say of its tensor.
Status ParseEntry(const std::string& path, const std::string& from, const nlohmann::json& json,
                  NameMap& map) {
  const auto bad = [&](const std::string& what) {
    return Fail(Bad(path, "\"" + from + "\": " + what));
  };
  TensorHint hint;
  for (const auto& [key, value] : json.items()) {
    if (key == "name" && value.is_string()) {
      map.names.emplace(from, value.get<std::string>());
    } else if (key == "layout" && value.is_string()) {
      hint.layout = KernelLayoutFromName(value.get<std::string>());
      if (!hint.layout) return bad("unknown \"layout\": HWIO, HWOI, HWIM, OIHW, IOHW, IO or OI");
    } else if (key == "multiplier" && value.is_number_unsigned()) {
      hint.multiplier = value.get<std::int64_t>();
    } else if (key == "flattened_channels" && value.is_number_unsigned()) {
      hint.flattened_channels = value.get<std::int64_t>();
    } else {
      return bad("\"" + key +
                 "\" is none of \"name\", \"layout\" (strings), \"multiplier\", "
                 "\"flattened_channels\" (whole numbers)");
    }
  }
  if (!hint.layout && (hint.multiplier || hint.flattened_channels)) return bad("no \"layout\"");
  if (hint.layout) map.hints.emplace(from, hint);
  return {};
}

Result<UserPair> ParsePair(const std::string& path, const nlohmann::json& json) {
  const auto text = [&](const char* key) -> std::optional<std::string> {
    const auto found = json.find(key);
    if (found == json.end() || !found->is_string()) return std::nullopt;
    return found->get<std::string>();
  };
  if (!json.is_object()) return Fail(Bad(path, "an entry of \"pairs\" is not an object"));
  const auto batch_norm = text("batch_norm"), into = text("into");
  if (!batch_norm || !into)
    return Fail(Bad(path, "a pair needs the strings \"batch_norm\" and \"into\""));
  UserPair pair{*batch_norm, *into};
  pair.bias = text("bias");
  const std::string direction = text("direction").value_or("backward");
  if (direction != "backward" && direction != "forward") {
    return Fail(Bad(path, "\"direction\" is \"" + direction + "\" instead of backward or forward"));
  }
  pair.forward = direction == "forward";
  if (const auto epsilon = json.find("epsilon"); epsilon != json.end() && !epsilon->is_null()) {
    if (!epsilon->is_number() || epsilon->get<double>() < 0)
      return Fail(Bad(path, "\"epsilon\" is not a number >= 0"));
    pair.epsilon = epsilon->get<double>();
  }
  if (const auto layout = text("layout")) {
    for (const auto known : {KernelLayout::kSpatialInOut, KernelLayout::kSpatialOutIn,
                             KernelLayout::kSpatialInMultiplier, KernelLayout::kOutInSpatial,
                             KernelLayout::kInOutSpatial}) {
      if (Name(known) == *layout) pair.layout = known;
    }
    if (!pair.layout)
      return Fail(
          Bad(path, "unknown \"layout\" \"" + *layout + "\": HWIO, HWOI, HWIM, OIHW or IOHW"));
  }
  return pair;
}

Result<std::map<std::string, std::string>> NamesIn(const nlohmann::json& json, const char* key,
                                                   const std::string& path) {
  std::map<std::string, std::string> names;
  const auto found = json.find(key);
  if (found == json.end()) return names;
  if (!found->is_object()) {
    return Fail(Bad(path, std::string("\"") + key + "\" is not an object"));
  }
  for (const auto& [name, other] : found->items()) {
    if (!other.is_string()) return Fail(Bad(path, "\"" + name + "\" is not given a name"));
    names.emplace(name, other.get<std::string>());
  }
  return names;
}

}  // namespace

Result<NameMap> ReadNameMap(const formats::Files& files, const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJson(files, path));
  if (!json.is_object()) return Fail(Bad(path, "is not an object {\"old name\": \"new name\"}"));
  NameMap map;
  for (const auto& [from, to] : json.items()) {
    if (to.is_string()) {
      map.names.emplace(from, to.get<std::string>());
    } else if (to.is_object()) {
      CKPT_RETURN_IF_ERROR(ParseEntry(path, from, to, map));
    } else {
      return Fail(Bad(path, "the new name of \"" + from + "\" is not a string"));
    }
  }
  return map;
}

Result<std::vector<UserPair>> ReadPairs(const formats::Files& files, const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJson(files, path));
  const auto list = json.is_object() ? json.find("pairs") : json.end();
  if (!json.is_object() || list == json.end() || !list->is_array()) {
    return Fail(Bad(path, "is not an object with a list \"pairs\""));
  }
  std::vector<UserPair> pairs;
  for (const nlohmann::json& entry : *list) {
    CKPT_ASSIGN_OR_RETURN(UserPair pair, ParsePair(path, entry));
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

Result<PortMap> ReadPortMap(const formats::Files& files, const std::string& path) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{16} << 20;
  CKPT_ASSIGN_OR_RETURN(const nlohmann::json json, ReadJson(files, path, kMostBytes));
  if (!json.is_object()) return Fail(Bad(path, "is not a JSON object"));
  PortMap map;
  CKPT_ASSIGN_OR_RETURN(map.inputs, NamesIn(json, "inputs", path));
  CKPT_ASSIGN_OR_RETURN(map.outputs, NamesIn(json, "outputs", path));
  return map;
}

}  // namespace ckpt::cli
