#include "cli/certificate.h"

#include <algorithm>
#include <array>
#include <utility>

#include "cli/report/advice.h"
#include "cli/runnable_input.h"

namespace ckpt::cli {
namespace {

// Of values and constants that are held, where nobody asked for the comparison.
constexpr std::uint64_t kCheapMemory = std::uint64_t{512} << 20;

constexpr char kNamesAlone[] =
    "OUTPUT is names alone, without a network to run; once it is written, \"ckpt diff INPUT "
    "OUTPUT\" "
    "holds it against INPUT layer by layer";

// Two networks that are to be one function.
struct Claim {
  std::string signature;  // of a serving graph; empty: the only one
  network::Network a = {}, b = {};
};

class Certifier {
 public:
  Certifier(const Checkpoint& written, const CertificateOptions& options)
      : written_(written), options_(options), verify_(options.verify) {
    if (options_.mode == VerifyMode::kIfCheap) {
      verify_.budget.memory_bytes = std::min(verify_.budget.memory_bytes, kCheapMemory);
    }
  }

  Result<Certificate> OfDocuments(const std::string& input, const CommonOptions& common) {
    if (IsDeclined()) return Declined();
    if (options_.names_alone && options_.mode == VerifyMode::kIfCheap) {
      return One(NotDone({}, {ErrorCode::kUnfit, kNamesAlone}));
    }
    auto reference = OpenRunnable(input, common);
    if (!reference) return One(NotDone({}, reference.error()));
    auto network = written_.MakeNetwork();
    if (!network && network.error().code == ErrorCode::kUnsupported) {
      return One(NotDone({}, {ErrorCode::kUnfit, kNamesAlone}));
    }
    if (!network) return One(NotDone({}, network.error()));
    return One(Judge(*reference->checkpoint, written_,
                     {{}, std::move(reference->network), *std::move(network)}));
  }

  Result<Certificate> OfGraph(const ServingModel& model) {
    if (IsDeclined()) return Declined();
    auto served = MakeServingModel(written_, {});
    if (!served) return One(NotDone({}, served.error()));
    Certificate certificate;
    const auto& signatures = model.manifest().ops->signatures;
    for (std::size_t i = 0; i < signatures.size(); ++i) {
      auto claim = ClaimOf(model, i, **served);
      CKPT_ASSIGN_OR_RETURN(Certificate::Signature one,
                            claim ? Judge(model, **served, *std::move(claim))
                                  : NotDone(signatures[i].name, claim.error()));
      certificate.signatures.push_back(std::move(one));
    }
    return certificate;
  }

 private:
  using Signature = Certificate::Signature;

  bool IsDeclined() const { return options_.mode == VerifyMode::kNever; }
  static Certificate Declined() { return {{Signature{{}, "--no-verify", {}}}}; }
  static Result<Certificate> One(Result<Signature> signature) {
    if (!signature) return Fail(std::move(signature).error());
    return Certificate{{*std::move(signature)}};
  }

  static Result<Claim> ClaimOf(const ServingModel& model, std::size_t i,
                               const ServingModel& served) {
    const auto& name = model.manifest().ops->signatures[i].name;
    const auto& written = served.manifest().ops->signatures;
    const auto found = std::find_if(written.begin(), written.end(),
                                    [&](const OpSignature& other) { return other.name == name; });
    // A GraphDef has no signatures, and one function.
    const bool alone = model.manifest().ops->signatures.size() == 1 && written.size() == 1;
    if (found == written.end() && !alone) {
      return Fail(ErrorCode::kUnfit, "OUTPUT does not serve \"" + name + "\"");
    }
    Claim claim{alone ? std::string() : name};
    CKPT_ASSIGN_OR_RETURN(claim.a, model.NetworkOf(i));
    const std::size_t place = alone ? 0 : static_cast<std::size_t>(found - written.begin());
    CKPT_ASSIGN_OR_RETURN(claim.b, served.NetworkOf(place));
    return claim;
  }

  Result<Signature> Judge(const Checkpoint& source, const Checkpoint& written, Claim claim) const {
    const auto not_done = [&](const Error& why) { return NotDone(claim.signature, why); };
    if (!options_.incomparable.empty()) return not_done({ErrorCode::kUnfit, options_.incomparable});
    if (options_.close_training_mode) Close(claim.a);
    const Runnable a{&claim.a, &source}, b{&claim.b, &written};
    if (options_.mode == VerifyMode::kIfCheap) {
      const auto count = CountMultiplyAdds(a, b, verify_);
      if (!count) return not_done(count.error());
      if (*count > kCheapMultiplyAdds) {
        return not_done({ErrorCode::kUnfit, "a run takes " + std::to_string(*count / 1'000'000) +
                                                " million multiplications; --verify does it"});
      }
    }
    constexpr std::array<std::int64_t, 2> kBatches = {1, 3};
    auto verification = VerifyAtBatches(a, b, verify_, kBatches);
    if (!verification) return not_done(verification.error());
    if (verification->verdict == Verdict::kDifferent) return Wrong(*verification);
    if (verification->verdict == Verdict::kCannotTell) {
      return not_done({ErrorCode::kUnfit, verification->reason});
    }
    return Signature{claim.signature, {}, *std::move(verification)};
  }

  static void Close(network::Network& network) {
    for (network::Operation& op : network.operations) {
      auto* norm = std::get_if<network::BatchNormalization>(&op.computation);
      if (norm != nullptr) norm->of_batch = false;
    }
  }

  Result<Signature> NotDone(const std::string& signature, const Error& why) const {
    Error error = why;
    // What fails here is the machine, or we, not the comparison.
    if (why.code == ErrorCode::kIo || why.code == ErrorCode::kInternal)
      return Fail(std::move(error));
    if (options_.mode != VerifyMode::kAlways) return Signature{signature, MessageOf(why), {}};
    if (error.code == ErrorCode::kUnsupported) error.code = ErrorCode::kUnfit;
    error.message = "cannot be verified: " + error.message;
    return Fail(std::move(error));
  }

  static tl::unexpected<Error> Wrong(const Verification& verification) {
    return Fail(ErrorCode::kInternal,
                "what would be written computes another function than the input: " +
                    verification.reason + "; this is a fault of ckpt, nothing is written");
  }

  const Checkpoint& written_;
  const CertificateOptions& options_;
  VerifyOptions verify_;
};

}  // namespace

Result<Certificate> Certify(const std::string& input, const CommonOptions& common,
                            const ServingModel* model, const Checkpoint& written,
                            const CertificateOptions& options) {
  Certifier certifier(written, options);
  return model != nullptr ? certifier.OfGraph(*model) : certifier.OfDocuments(input, common);
}

}  // namespace ckpt::cli
