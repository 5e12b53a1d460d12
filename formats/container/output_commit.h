// Puts what was staged in place, step by step; the first step that fails takes all of them back.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "ckpt/result.h"
#include "formats/container/commit_journal.h"
#include "formats/container/staging_folder.h"

namespace ckpt::formats {

struct Placement {
  enum class Kind : std::uint8_t { kFile, kFolder, kRemoval, kSpecial };
  Kind kind = Kind::kFile;
  std::filesystem::path named;             // as the user knows it
  std::filesystem::path target = {};       // behind links
  const StagingFolder* staging = nullptr;  // beside the target; null for kSpecial
  std::filesystem::path staged = {};       // in staging/new
  std::span<const std::byte> bytes = {};   // of kSpecial: what is written into it
  std::filesystem::path old = {};          // where OutputCommit keeps what the target was
};

class OutputCommit {
 public:
  // `set`: files that belong together, the last is the one that makes them readable. `rest`: what
  // is put in place behind them. What is staged was flushed to the disk.
  OutputCommit(std::vector<Placement> set, std::vector<Placement> rest, bool replace);
  // Takes everything back, too, where an exception ends it.
  Status Run();

 private:
  struct Done {
    enum class What : std::uint8_t { kTakenAway, kPlaced, kReplaced, kExchanged };
    What what;
    const Placement* placement;
  };

  // More than one file is replaced, so that the head must not be read in between.
  bool HeadGoesFirst() const;
  Status WriteJournals() const;
  Status Steps();
  Status TakeAway(const Placement& placement);
  Status Place(const Placement& placement);
  Status PlaceOver(const Placement& placement);
  Status ExchangeFolder(const Placement& placement);
  Status WriteInto(const Placement& placement);
  Status SyncFolders() const;
  void TakeBack() noexcept;  // without an allocation

  std::vector<Placement> set_, rest_;
  bool replace_;
  std::vector<Done> done_;
};

}  // namespace ckpt::formats
