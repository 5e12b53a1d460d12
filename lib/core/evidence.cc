#include "ckpt/evidence.h"

namespace ckpt {

std::string_view Name(EvidenceSource source) noexcept {
  switch (source) {
    case EvidenceSource::kGraph:
      return "graph";
    case EvidenceSource::kFrameworkRecord:
      return "config";
    case EvidenceSource::kUser:
      return "user";
    case EvidenceSource::kSlots:
      return "slots";
    case EvidenceSource::kNaming:
      return "naming";
    case EvidenceSource::kValues:
      return "values";
    case EvidenceSource::kDefault:
      return "default";
  }
  return "default";
}

bool SameEpsilon(double a, double b) noexcept {
  return a == b || static_cast<float>(a) == static_cast<float>(b);
}

}  // namespace ckpt
