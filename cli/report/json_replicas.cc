#include "cli/report/json_pieces.h"

namespace ckpt::cli {
Json ToJson(const ReplicaComparison& all) {
  const ReplicaReport& report = all.report;
  Json json = {{"groups", report.groups},
               {"unreadable", all.unreadable},
               {"weights", report.weights},
               {"statistics", report.statistics},
               {"others", report.others}};
  json["replicas"] = json["batch_norm"] = Json::array();
  for (std::size_t i = 0; i < report.replicas.size(); ++i) {
    const Replica& replica = report.replicas[i];
    json["replicas"].push_back({{"path", JsonText(all.paths[i])},
                                {"group", replica.group},
                                {"weights", replica.weights},
                                {"statistics", replica.statistics},
                                {"others", replica.others}});
  }
  for (const ReplicaNorm& norm : report.norms) {
    Json layer = {{"scope", JsonText(norm.scope)}};
    layer["farthest"] = norm.farthest ? JsonText(all.paths[*norm.farthest]) : Json(nullptr);
    layer["replicas"] = Json::array();
    for (const ReplicaNorm::Distance& distance : norm.replicas) {
      layer["replicas"].push_back({{"mean_shift", JsonNumber(distance.mean_shift)},
                                   {"variance_ratio", JsonNumber(distance.variance_ratio)}});
    }
    json["batch_norm"].push_back(std::move(layer));
  }
  return json;
}

}  // namespace ckpt::cli
