// What the audit says of a converted file, as it was read back.
#pragma once

#include <functional>
#include <memory>

#include "ckpt/convert.h"
#include "ckpt/formats/convert_file.h"
#include "cli/report/report.h"

namespace ckpt::cli {

// With the options that `ckpt audit` has by default. kUnfit, with what was found, where there are
// errors, unless `allow_findings`; passes on damage.
Result<OutputAudit> AuditOutput(const Checkpoint& written, bool allow_findings);

// The same of an OUTPUT that holds tensors alone and was not written: of what is planned.
Result<OutputAudit> AuditPlanned(const Checkpoint& source, const ConversionPlan& plan,
                                 bool allow_findings);

// What OUTPUT has to be before it is put in place.
struct Acceptance {
  bool allow_findings = false;
  // Of an OUTPUT that is to compute what INPUT does; empty: none is asked for.
  std::function<Result<Certificate>(const Checkpoint& written)> certify = {};
};

// Writes what is planned, accepts OUTPUT before it is put in place and keeps the record; `report`
// says what was done. `ops` as formats::Convert has it.
Status CarryOut(const Checkpoint& source, const ConversionPlan& plan,
                formats::ConversionTarget& target, const formats::FilesRead& read,
                const Acceptance& acceptance, Conversion& report,
                std::shared_ptr<const OpGraph> ops = nullptr);

// Before anything is written, of an OUTPUT that holds tensors alone: kUnfit where a batch norm with
// negative variances would lose the epsilon that keeps variance + epsilon above 0.
Status CheckEpsilonStays(const Manifest& manifest, const Analysis& analysis,
                         const AuditResult& audit, const ConversionPlan& plan);

// Before anything is written, of an OUTPUT that records no classes of modules: kUnfit where INPUT's
// record is all that tells another norm (a group norm called "bn1") from a batch norm whose
// statistics are missing.
Status CheckNormsStayTold(const Manifest& manifest, const Analysis& analysis,
                          const ConversionPlan& plan);

}  // namespace ckpt::cli
