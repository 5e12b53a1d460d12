// Prints what an audit finds in a checkpoint of any format. Ends with 1 where something was found,
// 2 where it cannot be read.
#include <ckpt/audit.h>
#include <ckpt/formats/format.h>

#include <iostream>

int main(int argc, char** argv) {
  const auto checkpoint = ckpt::formats::OpenCheckpoint(argc > 1 ? argv[1] : "");
  if (!checkpoint) {
    std::cerr << ckpt::ToString(checkpoint.error()) << '\n';
    return 2;
  }
  const ckpt::Analysis analysis = ckpt::Analyse((*checkpoint)->manifest());
  const ckpt::AuditResult audit = ckpt::Audit(**checkpoint, analysis);
  for (const ckpt::Finding& finding : audit.findings) {
    std::cout << finding.rule->id << ' ' << ckpt::EscapeForDisplay(finding.subject) << ": "
              << ckpt::EscapeForDisplay(finding.message) << '\n';
  }
  return audit.error ? 2 : audit.findings.empty() ? 0 : 1;
}
