// Repeated layers in one line: "layer{0..124}.bn{1,2}.weight".
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace ckpt::cli {

// Lists of more names than these have repeated layers in one line each, unless text leaves nothing
// out.
inline constexpr std::size_t kMostNamesInFull = 100;

struct NamedThing {
  std::string_view name;
  std::string_view kind;  // only things of one kind share a line
};
struct CollapsedName {
  std::string name;                  // escaped for display
  std::vector<std::size_t> members;  // indices, ascending
};

// Names that differ in their numbers alone, in lines that stand for every combination of the
// numbers they list and for no other name. In the order of their first members.
std::vector<CollapsedName> CollapseNames(const std::vector<NamedThing>& things);

}  // namespace ckpt::cli
