// Why the program believes something: carried by every role, pairing and epsilon.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace ckpt {

// In falling order of strength.
enum class EvidenceSource : std::uint8_t {
  kGraph,            // a graph beside or in the file
  kFrameworkRecord,  // a config, an object graph, a version that the framework wrote
  kUser,             // an option or a file that the user gave
  kSlots,            // an optimizer slot: a variable with slots was trained
  kNaming,           // a naming convention of a framework
  kValues,           // the numbers themselves
  kDefault,          // the default of the framework that was identified
};

std::string_view Name(EvidenceSource source) noexcept;  // "graph", "config", "user", ...

struct Evidence {
  EvidenceSource source;
  std::string detail;  // "Keras config of layer \"bn_a\"", "name ends in moving_mean"
  bool operator==(const Evidence&) const = default;
};

// A number and where it is from, such as an epsilon or a momentum.
struct SourcedNumber {
  double value;
  Evidence evidence;
};

// Frameworks add epsilon as a float32: 0.001 of a config and 0.0010000000475 of an operation are
// one.
bool SameEpsilon(double a, double b) noexcept;

}  // namespace ckpt
