// Does a converted file compute what its input computes? Asked of OUTPUT as it was read back,
// before it is put in place.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "ckpt/serving.h"
#include "ckpt/verify.h"
#include "cli/options.h"
#include "cli/report/report.h"

namespace ckpt::cli {

enum class VerifyMode : std::uint8_t {
  kIfCheap,  // where a run takes at most kCheapMultiplyAdds
  kAlways,
  kNever,
};
// Counted from shapes, so that a busy machine decides nothing.
inline constexpr std::uint64_t kCheapMultiplyAdds = 200'000'000;

struct CertificateOptions {
  VerifyMode mode = VerifyMode::kIfCheap;
  VerifyOptions verify = {};
  // The reference is the input as it will be served: its batch norms use their moving statistics.
  bool close_training_mode = false;
  // Why OUTPUT is not to compute the same as INPUT's own network; empty: it is.
  std::string incomparable = {};
  bool names_alone = false;  // OUTPUT holds no network
};

// Of an OUTPUT that holds the documents of INPUT (`input` and `common` open it anew), or, where
// `model` is not null, its serving graph. Not done is no error, unless it is always asked for:
// kUnfit then. kInternal where OUTPUT is another function: that is our own fault.
Result<Certificate> Certify(const std::string& input, const CommonOptions& common,
                            const ServingModel* model, const Checkpoint& written,
                            const CertificateOptions& options);

}  // namespace ckpt::cli
