// Writes a table (table_format.h), entry by entry, in the blocks that TensorFlow would write: raw,
// of 256 KiB, a restart every 16 entries. The same entries give the same bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "formats/container/atomic_output.h"
#include "formats/tf_bundle/table_format.h"

namespace ckpt::formats {

class BlockBuilder {
 public:
  explicit BlockBuilder(unsigned restart_interval) : restart_interval_(restart_interval) {}

  void Add(std::string_view key, std::string_view value);
  bool empty() const noexcept { return entries_.empty(); }
  std::size_t size() const noexcept;  // of the contents, if it were finished now
  // The contents; the builder is as new afterwards.
  std::string Finish();

 private:
  unsigned restart_interval_;
  unsigned since_restart_ = 0;
  std::string entries_, restarts_, last_key_;
};

class TableWriter {
 public:
  // Appends to `file`, which must outlive the writer.
  explicit TableWriter(OutputFile& file) : file_(file) {}

  // REQUIRES: keys increase strictly.
  Status Add(std::string_view key, std::string_view value);
  // Writes what is left, the index and the footer. Nothing may be added afterwards.
  Status Finish();

 private:
  Status FlushData();
  Status WriteBlock(BlockBuilder& block, BlockHandle* handle);
  void AddPendingIndexEntry(std::string key);

  static constexpr unsigned kRestartInterval = 16;
  OutputFile& file_;
  BlockBuilder data_{kRestartInterval}, index_{1};
  std::string last_key_;
  // A finished data block's index entry waits for the next key, to be as short as can be.
  bool pending_ = false;
  BlockHandle pending_handle_;
};

}  // namespace ckpt::formats
