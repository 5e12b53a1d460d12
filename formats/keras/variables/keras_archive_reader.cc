#include <algorithm>
#include <filesystem>
#include <system_error>

#include "formats/container/file_slice.h"
#include "formats/container/scratch_file.h"
#include "formats/container/zip_archive.h"
#include "formats/keras/variables/described_model.h"
#include "formats/keras/variables/keras_archive.h"
#include "formats/keras/variables/variable_checkpoint.h"

namespace ckpt::formats {
namespace {

using keras::Json;
using SharedFile = std::shared_ptr<const RandomAccessFile>;

constexpr std::string_view kConfig = "config.json";
constexpr std::string_view kMetadata = "metadata.json";
constexpr std::string_view kWeights = "model.weights.h5";
constexpr std::string_view kAssets = "assets/";
// What inflating may fill of the disk, unless a file is as large itself.
constexpr std::uint64_t kInflatedAtMost = std::uint64_t{4} << 30;
constexpr std::uint64_t kInflatedFold = 8;

tl::unexpected<Error> ArchiveError(ErrorCode code, const std::string& file, std::string message) {
  return Fail(Error{code, std::move(message)}.In(file));
}

// The weights as a file that can be read at any place.
Result<SharedFile> WeightsFile(const ZipArchive& archive, std::size_t index) {
  const ZipMember& member = archive.members()[index];
  const std::string name = archive.file()->path() + ": " + member.name;
  if (member.method == ZipMethod::kStored) {
    return SliceOfFile(archive.file(), member.data_offset, member.size, name);
  }
  const std::uint64_t at_most = std::max(kInflatedAtMost, kInflatedFold * archive.file()->size());
  if (member.size > at_most) {
    return ArchiveError(ErrorCode::kLimitExceeded, archive.file()->path(),
                        "the member " + member.name + " would inflate to " +
                            std::to_string(member.size) + " bytes, where " +
                            std::to_string(at_most) + " are the limit");
  }
  std::error_code failed;
  std::filesystem::path folder = std::filesystem::temp_directory_path(failed);
  if (failed) folder = "/tmp";
  CKPT_ASSIGN_OR_RETURN(const auto scratch, ScratchFile::Create(folder));
  const auto stream = archive.Stream(index);
  while (true) {
    CKPT_ASSIGN_OR_RETURN(const auto chunk, stream->Next());
    if (chunk.empty()) break;
    CKPT_RETURN_IF_ERROR(scratch->Append(chunk));
  }
  return scratch->Read(name);
}

std::string TextIn(const Json& json, std::string_view key) {
  const Json* text = keras::Find(json, key);
  return text && text->is_string() ? text->get<std::string>() : std::string();
}

// The version, or what the form of the config tells of it.
std::string VersionOf(const std::string& metadata, const std::string& config) {
  const auto json = keras::ParseConfigJson(metadata);
  std::string version = json ? TextIn(*json, "keras_version") : "";
  if (!version.empty()) return version;
  return config.find("\"batch_input_shape\"") == std::string::npos ? "3" : "2";
}

}  // namespace

Match ProbeKerasArchive(const ProbeInput& input) {
  if (!StartsLikeZip(input.head)) return Match::kNo;
  const std::vector<std::string_view> names = ZipNamesInTail(input.tail);
  const auto shows = [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  if (!shows(kConfig)) return Match::kNo;
  return shows(kWeights) || shows("model.weights.npz") || shows("model.weights.json")
             ? Match::kCertain
             : Match::kNo;
}

Result<std::unique_ptr<Checkpoint>> OpenKerasArchive(const Files& files,
                                                     const std::filesystem::path& path,
                                                     const Limits& limits) {
  CKPT_ASSIGN_OR_RETURN(SharedFile file, files.Open(path));
  CKPT_ASSIGN_OR_RETURN(ZipArchive opened, ZipArchive::Open(file, limits));
  auto archive = std::make_unique<ZipArchive>(std::move(opened));
  const auto config_member = archive->Find(kConfig), weights_member = archive->Find(kWeights);
  if (!config_member) {
    return ArchiveError(ErrorCode::kUnfit, file->path(), "has no config.json: no Keras archive");
  }
  if (!weights_member) {
    return ArchiveError(ErrorCode::kUnsupported, file->path(),
                        "has no model.weights.h5; weights in other containers are not read");
  }
  std::vector<Document> documents;
  std::uint64_t room = limits.metadata_bytes;
  for (std::size_t i = 0; i < archive->members().size(); ++i) {
    const ZipMember& member = archive->members()[i];
    const bool asset = member.name.starts_with(kAssets) && !member.name.ends_with('/');
    if (!asset && member.name != kConfig && member.name != kMetadata) continue;
    CKPT_ASSIGN_OR_RETURN(std::string text, archive->Read(i, room));
    room -= text.size();
    documents.push_back({member.name, std::move(text)});
  }
  const auto document = [&](std::string_view name) {
    const auto found = std::find_if(documents.begin(), documents.end(),
                                    [&](const Document& it) { return it.name == name; });
    return found == documents.end() ? std::string() : found->text;
  };
  const std::string config_text = document(kConfig), metadata = document(kMetadata);
  const std::string version = VersionOf(metadata, config_text);

  CKPT_ASSIGN_OR_RETURN(SharedFile weights, WeightsFile(*archive, *weights_member));
  std::vector<std::unique_ptr<Hdf5File>> hdf5(1);
  CKPT_ASSIGN_OR_RETURN(hdf5[0], Hdf5File::Open(std::move(weights), limits));
  CKPT_ASSIGN_OR_RETURN(const keras::VariableStore store, keras::CollectVariables(hdf5));
  keras::VariableManifest described =
      keras::DescribeModel(store, {file->path()}, config_text, version);

  Manifest& manifest = described.manifest;
  manifest.resolved = file->path();
  manifest.files = {file->path()};
  for (Document& text : documents) manifest.documents.push_back(std::move(text));
  const bool stored = archive->members()[*weights_member].method == ZipMethod::kStored;
  if (!stored) archive.reset();  // inflating has checked it
  return std::make_unique<keras::VariableCheckpoint>("keras", std::move(hdf5), std::move(described),
                                                     std::move(archive), *weights_member);
}

}  // namespace ckpt::formats
