// Inputs of inspect and audit on a page.
#include <algorithm>
#include <set>

#include "cli/report/advice.h"
#include "cli/report/page/page_values.h"

namespace ckpt::cli::page {
namespace {

void AddLayers(Json& json, const InputReport& input, const std::vector<LayerProfile>& profiles,
               const std::vector<std::size_t>& first, std::size_t most) {
  json["layers"] = Json::array();
  if (!input.opened()) return;
  for (const std::size_t i : Chosen(input.analysis->batch_norms.size(), first, most))
    json["layers"].push_back(LayerToJson(input, i, profiles));
}

Json RolesToJson(const InputReport& input) {
  std::array<std::pair<std::uint64_t, std::uint64_t>, static_cast<std::size_t>(Role::kOther) + 1>
      totals{};
  for (std::size_t i = 0; i < input.manifest->tensors.size(); ++i) {
    auto& [count, bytes] = totals[static_cast<std::size_t>(input.analysis->roles[i].role)];
    ++count;
    bytes += input.manifest->tensors[i].byte_size;
  }
  Json json = Json::array();
  for (std::size_t i = 0; i < totals.size(); ++i) {
    const auto& [count, bytes] = totals[i];
    if (count > 0) json.push_back({Name(static_cast<Role>(i)), count, bytes});
  }
  return json;
}

Json TensorsToJson(const InspectedInput& inspected, std::size_t most) {
  const InputReport& input = inspected.input;
  Json json = Json::array();
  const std::vector<TensorInfo>& tensors = input.manifest->tensors;
  for (const std::size_t i : inspected.tensors) {
    if (json.size() == most) break;
    json.push_back({Text(tensors[i].name), Name(tensors[i].dtype), Text(ToString(tensors[i].shape)),
                    Name(input.analysis->roles[i].role), tensors[i].byte_size});
  }
  return json;
}

}  // namespace

Json FindingToJson(const Finding& finding) {
  constexpr std::size_t kLinked = 500;
  Json json = {{"rule", finding.rule->id},
               {"severity", Name(finding.severity)},
               {"subject", Text(finding.subject)},
               {"message", Text(finding.message)},
               {"fix", Text(FixOf(finding))}};
  json["layers"] = std::vector<std::size_t>(
      finding.layers.begin(), finding.layers.begin() + static_cast<std::ptrdiff_t>(std::min(
                                                           kLinked, finding.layers.size())));
  json["layer_count"] = finding.layers.size();
  return json;
}

namespace {

// Those that something above a note is about.
std::vector<std::size_t> Suspects(const std::vector<Finding>& findings) {
  std::set<std::size_t> layers;
  for (const Finding& finding : findings) {
    if (finding.severity != Severity::kInfo)
      layers.insert(finding.layers.begin(), finding.layers.end());
  }
  return {layers.begin(), layers.end()};
}

Json ToJson(const Drift& drift) {
  const auto one = [](const ChannelDistance& distance) -> Json {
    return {{"typical", Number(distance.typical)},
            {"largest", Number(distance.largest)},
            {"channel", distance.channel},
            {"noise", Number(distance.noise)}};
  };
  return {{"mean", one(drift.mean_shift)}, {"variance", one(drift.log2_variance)}};
}

Json ToJson(const DriftReport& report, const Analysis& analysis, std::size_t most) {
  Json json = {{"examples", report.drift.examples}, {"judged", report.judged()}};
  json["inputs"] = page::ToJson(report.inputs);
  json["layers"] = json["left_out"] = Json::array();
  for (const LayerDrift& layer : report.drift.layers) {
    if (json["layers"].size() == most) break;
    json["layers"].push_back({{"i", layer.layer},
                              {"scope", Text(analysis.batch_norms[layer.layer].scope)},
                              {"served", ToJson(layer.as_served)},
                              {"alone", ToJson(layer.alone)}});
  }
  for (const LayerNotMeasured& layer : report.drift.left_out) {
    if (json["left_out"].size() == most) break;
    json["left_out"].push_back({Text(analysis.batch_norms[layer.layer].scope), Text(layer.why)});
  }
  return json;
}

}  // namespace

Json Piece(const InspectedInput& inspected, std::size_t most) {
  const InputReport& input = inspected.input;
  Json json = {{"layers", Json::array()}};
  if (!input.opened()) return json;
  // In the order of the model, as they are drawn.
  std::vector<std::size_t> layers = inspected.batch_norms;
  std::sort(layers.begin(), layers.end());
  layers.resize(std::min(most, layers.size()));
  for (const std::size_t i : layers)
    json["layers"].push_back(LayerToJson(input, i, inspected.profiles));
  json["roles"] = RolesToJson(input);
  json["tensors"] = TensorsToJson(inspected, 2 * most);
  return json;
}

Json Piece(const AuditedInput& audited, std::size_t most) {
  const InputReport& input = audited.input;
  Json json = {{"read_all", audited.read_all}};
  if (!audited.compared_with.empty()) json["compared_with"] = Text(audited.compared_with);
  json["findings"] = Json::array();
  json["finding_count"] = audited.findings.size();
  for (std::size_t i = 0; i < std::min(most, audited.findings.size()); ++i)
    json["findings"].push_back(FindingToJson(audited.findings[i]));
  json["known"] = Json::array();
  for (std::size_t i = 0; i < std::min(most, audited.known.size()); ++i) {
    const KnownFinding& known = audited.known[i];
    json["known"].push_back(
        {known.finding.rule->id, Text(known.finding.subject), Text(known.reason)});
  }
  json["known_count"] = audited.known.size();
  AddLayers(json, input, audited.profiles, Suspects(audited.findings), most);
  if (audited.data && input.opened()) json["drift"] = ToJson(*audited.data, *input.analysis, most);
  return json;
}

}  // namespace ckpt::cli::page
