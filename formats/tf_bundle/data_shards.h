// The data files of a bundle: PREFIX.data-00000-of-00002, ...
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "formats/container/file.h"

namespace ckpt::formats {

std::string DataShardName(std::string_view prefix, std::uint64_t shard, std::uint64_t count);

// "00000-of-00002", and the inverse: nothing where `text` is not how such numbers are written.
std::string ShardNumbers(std::uint64_t shard, std::uint64_t count);
std::optional<std::pair<std::uint64_t, std::uint64_t>> ParseShardNumbers(std::string_view text);

// {"dir/model.ckpt", shard, count} of "dir/model.ckpt.data-00000-of-00002"; nothing for other
// names.
struct DataShardPath {
  std::string prefix;
  std::uint64_t shard, count;
};
std::optional<DataShardPath> ParseDataShardName(std::string_view path);

// Opens the shards that are needed and keeps what is known of them. Open may be called from several
// threads.
class DataShards {
 public:
  // `count` is what the index says. A bundle merged from parts of which some were empty has fewer
  // files, and names them by their own number: where no file of `count` exists but a set of another
  // one holds all of `needed`, that is taken.
  DataShards(const Files& files, std::string prefix, std::uint64_t count,
             const std::set<std::uint32_t>& needed);

  std::string Path(std::uint32_t shard) const { return DataShardName(prefix_, shard, count_); }
  // Paths of the needed shards that are there, in order.
  std::vector<std::string> Present() const;
  // The size of a needed shard, or why it cannot be had.
  Result<std::uint64_t> Size(std::uint32_t shard) const;
  Result<std::shared_ptr<const RandomAccessFile>> Open(std::uint32_t shard) const;

 private:
  Result<std::unique_ptr<RandomAccessFile>> OpenFile(std::uint32_t shard) const;
  std::uint64_t CountOnDisk(std::uint64_t count, const std::set<std::uint32_t>& needed) const;

  const Files& files_;
  std::string prefix_;
  std::uint64_t count_;
  std::map<std::uint32_t, Result<std::uint64_t>> sizes_;
  // Files left open, so that tensors do not pay for an opening each; bounded, as descriptors are.
  std::map<std::uint32_t, std::shared_ptr<const RandomAccessFile>> open_;
};

}  // namespace ckpt::formats
