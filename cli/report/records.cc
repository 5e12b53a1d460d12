// A line of JSON for each input, all that was found of it: what scans of many files are made of,
// and go on with (--resume).
#include "cli/report/form.h"
#include "cli/report/json_pieces.h"
#include "formats/remote/address.h"

namespace ckpt::cli {
namespace {

Json ToJson(const std::vector<formats::FileStamp>& files) {
  Json json = Json::array();
  for (const formats::FileStamp& file : files) {
    const char* changed = formats::IsRemoteName(file.path) ? "etag" : "mtime";
    json.push_back(
        {{"path", JsonText(file.path)}, {"size", file.size}, {changed, JsonText(file.changed)}});
  }
  return json;
}

class RecordsForm : public Form {
 public:
  std::string Add(const AuditedInput& audited) override {
    Json head = HeadOf(audited, false);
    const InputReport& input = audited.input;
    head["batch_norms"] = input.opened() ? input.analysis->batch_norms.size() : 0;
    head["state"] = Name(StateOf(audited));
    head["findings"] = Json::array();
    head["known"] = Json::array();
    for (const Finding& finding : audited.findings)
      head["findings"].push_back(FindingOf(audited, finding));
    for (const KnownFinding& known : audited.known)
      head["known"].push_back(FindingOf(audited, known));
    head["files"] = ToJson(audited.files);
    head["options"] = JsonText(audited.options);
    head["tool"] = "ckpt " CKPT_VERSION;
    return Dump(Line("audit", "record", head), false);
  }
};

}  // namespace

std::unique_ptr<Form> MakeRecordsForm(const FormOptions&) {
  return std::make_unique<RecordsForm>();
}

}  // namespace ckpt::cli
