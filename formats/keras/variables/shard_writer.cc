#include "formats/keras/variables/shard_writer.h"

#include <algorithm>
#include <cstdio>
#include <map>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "formats/container/atomic_output.h"
#include "formats/container/output_tensor.h"
#include "formats/keras/model/config_json.h"

namespace ckpt::formats::keras {
namespace {

// "/layers/conv2d/vars/0" -> "/layers/conv2d/vars"
std::string GroupOf(const std::string& variable) { return variable.substr(0, variable.rfind('/')); }

std::string ShardName(const std::string& stem, std::size_t number) {
  char digits[24];
  std::snprintf(digits, sizeof(digits), "_%05zu", number);
  return stem + digits + ".weights.h5";
}

class Splitter {
 public:
  Splitter(const OutputModel& model, const VariableOutput& planned) {
    for (const LayoutGroup& group : planned.groups) {
      groups_.emplace(group.path.empty() ? "/vars" : "/" + group.path + "/vars", &group);
    }
    for (const PlacedVariable& variable : planned.variables) {
      total_ += model.tensors[variable.tensor].byte_size;
      filled_.insert_or_assign(GroupOf(variable.path), true);
    }
    shards_.emplace_back();
    for (const auto& [path, group] : groups_) {
      if (!filled_.contains(path)) shards_.back().groups.push_back(*group);  // says a name alone
    }
  }

  void Split(const OutputModel& model, const VariableOutput& planned, std::uint64_t at_most) {
    std::uint64_t bytes = 0;
    for (const PlacedVariable& variable : planned.variables) {
      const std::uint64_t size = model.tensors[variable.tensor].byte_size;
      if (!shards_.back().variables.empty() && size > at_most - std::min(at_most, bytes)) {
        shards_.emplace_back();
        bytes = 0;
      }
      bytes += size;
      Place(variable);
    }
  }

  const std::vector<VariableOutput>& shards() const { return shards_; }

  Json Map(const std::string& stem) const {
    Json map = Json::object();
    for (const auto& [group, numbers] : places_) {
      Json names = Json::array();
      for (const std::size_t number : numbers) names.push_back(ShardName(stem, number));
      map[group] = numbers.size() == 1 ? names[0] : names;
    }
    return {{"metadata", {{"total_size", total_}}}, {"weight_map", std::move(map)}};
  }

 private:
  void Place(const PlacedVariable& variable) {
    VariableOutput& shard = shards_.back();
    const std::string group = GroupOf(variable.path);
    auto& numbers = places_[group];
    if (numbers.empty() || numbers.back() != shards_.size() - 1) {
      numbers.push_back(shards_.size() - 1);
      const auto known = groups_.find(group);
      if (known != groups_.end()) shard.groups.push_back(*known->second);
    }
    shard.variables.push_back(variable);
  }

  std::map<std::string, const LayoutGroup*> groups_;  // by the path of their variables
  std::map<std::string, bool> filled_;
  std::map<std::string, std::vector<std::size_t>> places_;
  std::vector<VariableOutput> shards_;
  std::uint64_t total_ = 0;
};

Status WriteShard(const OutputFile& target, const OutputModel& model, const VariableOutput& shard) {
  CKPT_ASSIGN_OR_RETURN(const auto file, Hdf5Writer::Create(target.temporary_path()));
  CKPT_RETURN_IF_ERROR(WriteVariables(*file, model, shard));
  return file->Close();
}

}  // namespace

Result<WriteSummary> WriteShards(AtomicOutput& output, const std::filesystem::path& path,
                                 const OutputModel& model, const VariableOutput& planned,
                                 const WriteOptions& options) {
  std::string stem = path.filename().string();
  stem.resize(stem.size() - kSetSuffix.size());
  Splitter splitter(model, planned);
  splitter.Split(model, planned, options.shard_bytes);
  WriteSummary summary;
  for (std::size_t i = 0; i < splitter.shards().size(); ++i) {
    const std::filesystem::path target = path.parent_path() / ShardName(stem, i);
    CKPT_ASSIGN_OR_RETURN(const OutputFile* const file, output.Create(target));
    CKPT_RETURN_IF_ERROR(WriteShard(*file, model, splitter.shards()[i]));
    std::error_code failed;
    summary.bytes += std::filesystem::file_size(file->temporary_path(), failed);
    summary.files.push_back(target.string());
  }
  std::error_code failed;
  for (std::size_t i = splitter.shards().size();; ++i) {
    std::filesystem::path stale = path.parent_path() / ShardName(stem, i);
    if (!output.replaces() || !std::filesystem::exists(stale, failed)) break;
    CKPT_RETURN_IF_ERROR(output.RemoveAtCommit(std::move(stale)));
  }
  const std::string map = splitter.Map(stem).dump(4);
  CKPT_ASSIGN_OR_RETURN(OutputFile * index, output.Create(path));
  CKPT_RETURN_IF_ERROR(index->Append(std::as_bytes(std::span(map))));
  summary.bytes += map.size();
  summary.files.insert(summary.files.begin(), path.string());
  return summary;
}

}  // namespace ckpt::formats::keras
