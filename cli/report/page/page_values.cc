#include "cli/report/page/page_values.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "cli/report/error_text.h"
#include "cli/report/issues.h"

namespace ckpt::cli::page {
namespace {

Json ToJson(const Distribution& of) {
  Json json = {{"n", of.finite}};
  if (of.not_finite > 0) json["bad"] = of.not_finite;
  if (of.finite == 0) return json;
  json["q"] = {Number(of.least), Number(of.low), Number(of.median), Number(of.high),
               Number(of.most)};
  json["mean"] = Number(of.mean);
  json["sd"] = Number(of.deviation);
  json["from"] = Number(of.from);
  json["to"] = Number(of.to);
  json["h"] = of.bins;
  return json;
}

Json TensorName(const std::optional<TensorId>& id, const Manifest& manifest) {
  return id ? Text(manifest.tensors[id->index].name) : Json(nullptr);
}

}  // namespace

Json Text(std::string_view text) { return ForPeople(text); }

Json Number(double value) {
  if (!std::isfinite(value)) return JsonNumber(value);
  std::array<char, 40> digits;
  std::snprintf(digits.data(), digits.size(), "%.4g", value);
  return std::strtod(digits.data(), nullptr);
}

Json Number(const std::optional<SourcedNumber>& number) {
  if (!number) return nullptr;
  return {{"value", Number(number->value)},
          {"source", Name(number->evidence.source)},
          {"detail", Text(number->evidence.detail)}};
}

Json ToJson(const LayerProfile& profile) {
  Json json = Json::object();
  for (std::size_t i = 0; i < kLayerVectors; ++i) {
    if (!profile.of[i]) continue;
    const auto which = static_cast<LayerVector>(i);
    Json one = ToJson(*profile.of[i]);
    if (which == LayerVector::kGainSize) one.erase("h");  // drawn by its quantiles alone
    json[std::string(Name(which))] = std::move(one);
  }
  return json;
}

Json LayerToJson(const InputReport& input, std::size_t i,
                 const std::vector<LayerProfile>& profiles) {
  const BatchNorm& layer = input.analysis->batch_norms[i];
  const Manifest& manifest = *input.manifest;
  Json json = {{"i", i}, {"scope", Text(layer.scope)}};
  if (layer.channels) json["channels"] = *layer.channels;
  json["epsilon"] = Number(layer.epsilon);
  json["momentum"] = Number(layer.momentum);
  json["tensors"] = {TensorName(layer.gamma, manifest), TensorName(layer.beta, manifest),
                     TensorName(layer.moving_mean, manifest),
                     TensorName(layer.moving_variance, manifest)};
  if (layer.frozen) json["frozen"] = true;
  if (!layer.certain) json["certain"] = false;
  if (!layer.training_mode.empty()) json["training_mode"] = Text(layer.training_mode);
  if (i >= profiles.size()) return json;
  json["of"] = ToJson(profiles[i]);
  if (const auto& initial = profiles[i].initial) {
    json["initial"] = {{"weight", Number(initial->weight)},
                       {"decay", Number(initial->decay)},
                       {"updates", Number(initial->updates)},
                       {"by", Text(initial->counted_by)}};
  }
  return json;
}

Json HeadToJson(const InputReport& input) {
  Json json = {{"path", Text(input.path)}};
  if (input.opened()) {
    json["format"] = input.format;
    json["norms"] = input.analysis->batch_norms.size();
    json["tensor_count"] = input.manifest->tensors.size();
    if (input.manifest->resolved != input.path) json["resolved"] = Text(input.manifest->resolved);
  }
  json["notes"] = Json::array();
  for (std::size_t i = 0; i < std::min<std::size_t>(input.notes.size(), 20); ++i)
    json["notes"].push_back(Text(input.notes[i]));
  if (input.error) {
    Error error = *input.error;
    if (error.file == input.path) error.file.clear();
    json["error"] = Describe(error);
  }
  return json;
}

Json ToJson(const std::vector<NotRead>& not_read, std::size_t most) {
  Json json = {{"count", not_read.size()}, {"list", Json::array()}};
  for (std::size_t i = 0; i < std::min(most, not_read.size()); ++i)
    json["list"].push_back({Text(not_read[i].path), Text(not_read[i].reason)});
  return json;
}

Json ToJson(const std::vector<DataRange>& ranges) {
  Json json = Json::array();
  for (const DataRange& range : ranges) {
    json.push_back({{"input", Text(range.input)},
                    {"shape", range.shape},
                    {"least", Number(range.least)},
                    {"most", Number(range.most)},
                    {"mean", Number(range.mean)},
                    {"deviation", Number(range.deviation)}});
  }
  return json;
}

std::vector<std::size_t> Chosen(std::size_t count, const std::vector<std::size_t>& first,
                                std::size_t most) {
  std::vector<std::size_t> chosen;
  if (count > most) {
    chosen.assign(first.begin(),
                  first.begin() + static_cast<std::ptrdiff_t>(std::min(most, first.size())));
    std::sort(chosen.begin(), chosen.end());
  }
  const std::vector<std::size_t> before = chosen;
  for (std::size_t i = 0; i < count && chosen.size() < most; ++i) {
    if (!std::binary_search(before.begin(), before.end(), i)) chosen.push_back(i);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

std::string InScript(const Json& json) {
  const std::string text = json.dump(-1, ' ', true, Json::error_handler_t::replace);
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      out += "\\u003c";
    } else if (c == '>') {
      out += "\\u003e";
    } else if (c == '&') {
      out += "\\u0026";
    } else {
      out += c;
    }
  }
  return out;
}

std::string InHtml(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c == '<') {
      out += "&lt;";
    } else if (c == '>') {
      out += "&gt;";
    } else if (c == '&') {
      out += "&amp;";
    } else if (c == '"') {
      out += "&quot;";
    } else {
      out += c;
    }
  }
  return out;
}

}  // namespace ckpt::cli::page
