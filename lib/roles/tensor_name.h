// Splits the name of a tensor into the scope of its layer and what it is there.
#pragma once

#include <string_view>
#include <vector>

#include "roles/naming_conventions.h"

namespace ckpt {

struct ParsedName {
  // "stem/bn"; empty where the name is the leaf alone. A part of the name that was parsed, which
  // must outlive it: there may be a million of them.
  std::string_view scope;
  const Leaf* leaf = nullptr;  // null: no table knows the leaf
  bool of_statistic = false;   // a helper of a statistic: "moving_mean/biased"; leaf is that of it
  bool joined = false;         // an underscore is what stands between scope and leaf: "bn_gamma"
};

// `name` as the file has it. The trees of Flax ("params/…", "batch_stats/…") yield the same scope,
// "part_0" and ":0" at the end are ignored.
ParsedName ParseName(std::string_view name);

// `name` without the number that TensorFlow puts behind a name that is taken already, with its
// underscore: "bn1_running_mean_1" -> "_1". Empty where it ends in none.
std::string_view NumberBehind(std::string_view name);

// Every way to read "stem_bn_weight" as a scope and a leaf behind an underscore, whatever the leaf.
std::vector<ParsedName> ParseAnyJoined(std::string_view name);

}  // namespace ckpt
