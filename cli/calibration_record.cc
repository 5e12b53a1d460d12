#include "cli/calibration_record.h"

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <system_error>
#include <utility>

#include "ckpt/calibration_mark.h"
#include "ckpt/formats/convert_file.h"

namespace ckpt::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::uintmax_t kMostRecordBytes = std::uintmax_t{16} << 20;

// Nothing where there is no such record: what it says is a help, and never an error of the file.
std::vector<MarkedTensor> MarkOf(const fs::path& path) {
  std::error_code error;
  if (!fs::is_regular_file(path, error) || fs::file_size(path, error) > kMostRecordBytes || error)
    return {};
  std::ifstream file(path, std::ios::binary);
  const std::string text{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  std::vector<MarkedTensor> tensors;
  if (!json.is_object() || !json.contains("calibrated_tensors")) return tensors;
  for (const auto& entry : json["calibrated_tensors"]) {
    if (!entry.is_object()) continue;
    const auto name = entry.find("name"), sha256 = entry.find("sha256");
    if (name == entry.end() || sha256 == entry.end() || !name->is_string() || !sha256->is_string())
      continue;
    tensors.push_back({name->get<std::string>(), sha256->get<std::string>()});
  }
  return tensors;
}

}  // namespace

std::unique_ptr<Checkpoint> WithRecordedMark(std::unique_ptr<Checkpoint> checkpoint) {
  const Manifest& manifest = checkpoint->manifest();
  if (manifest.metadata.contains(std::string(kCalibrationMark))) return checkpoint;
  const fs::path resolved = manifest.resolved;
  std::vector<MarkedTensor> tensors =
      MarkOf(formats::DefaultRecordPath(manifest.resolved, nullptr));
  const formats::Format* const format = formats::FindFormat(checkpoint->format());
  if (tensors.empty() && format != nullptr && !format->record_within.empty()) {
    const fs::path folder = resolved.has_extension() ? resolved.parent_path() : resolved;
    tensors = MarkOf(formats::DefaultRecordPath(folder.string(), format));
  }
  return tensors.empty() ? std::move(checkpoint) : WithMark(std::move(checkpoint), tensors);
}

}  // namespace ckpt::cli
