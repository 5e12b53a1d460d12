#include "cli/report/record.h"

#include "cli/report/json_pieces.h"

namespace ckpt::cli {
namespace {

Json FilesToJson(const std::vector<formats::FileRecord>& files) {
  Json list = Json::array();
  for (const formats::FileRecord& file : files) {
    Json entry = {{"name", JsonText(file.name)}, {"bytes", file.bytes}};
    entry["sha256"] = file.sha256.empty() ? Json() : Json(file.sha256);
    list.push_back(std::move(entry));
  }
  return list;
}

Json MarkToJson(const CalibrationReport& calibration) {
  Json list = Json::array();
  for (const MarkedTensor& tensor : calibration.marked) {
    list.push_back({{"name", JsonText(tensor.name)}, {"sha256", tensor.sha256}});
  }
  return list;
}

}  // namespace

std::string RecordText(const Conversion& conversion, const formats::ConversionRecord& files,
                       const std::string& tool) {
  Json record = WithSchema("record");
  record["tool"] = tool;
  AddConversion(record, conversion);
  if (conversion.calibration) {
    record["data_files"] = FilesToJson(conversion.calibration->files);
    record["calibrated_tensors"] = MarkToJson(*conversion.calibration);
  }
  record["source_files"] = FilesToJson(files.source);
  record["output_files"] = FilesToJson(files.output);
  return Dump(record, true);
}

}  // namespace ckpt::cli
