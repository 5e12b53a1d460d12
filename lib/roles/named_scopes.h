// Groups tensors by the scope that their names give them.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ckpt/checkpoint.h"
#include "roles/naming_conventions.h"

namespace ckpt {

struct NamedScope {
  struct Member {
    const Leaf* leaf;
    TensorId id;
    bool helper;  // of a statistic: "moving_mean/biased"
  };
  std::string scope;
  std::vector<Member> members;
  // Its names end in a number that TensorFlow gave them: those without it are another layer's.
  bool numbered = false;

  // The first member with this leaf that is no helper.
  const Member* Find(std::string_view leaf) const;
};

// In natural order of the scopes. What belongs to a layer but was created in an operation's scope
// below it (averages of tf.nn.moments, debiasing) joins that layer.
std::vector<NamedScope> GroupByScope(const Manifest& manifest, const std::vector<bool>& usable);

}  // namespace ckpt
