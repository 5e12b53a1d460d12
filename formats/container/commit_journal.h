// What a commit of several files is about to do, written down before it begins, so that a later run
// can finish or take back what a killed one left half done.
//
// The head is the file that makes a set readable (an index), or the one file that there is. Where
// it is in place, the rest is put in place, too; where it is not, the old files are put back.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "ckpt/result.h"
#include "formats/container/file_identity.h"

namespace ckpt::formats {

// One file or folder in the parent of the staging folder. Its old one goes to old/`name`.
struct JournalEntry {
  std::string name;
  FileIdentity staged;  // device 0: nothing is put there, the old one goes
  FileIdentity old;     // device 0: there was none
};
struct Journal {
  std::filesystem::path head;  // absolute
  FileIdentity head_staged;
  std::vector<JournalEntry> entries;
};

// In the staging folder, flushed to the disk.
Status WriteJournal(const std::filesystem::path& staging, const Journal& journal);

// Finishes or takes back what the journal in the staging folder of a dead run says. True where
// nothing in that folder is needed any more.
bool SettleCommit(const std::filesystem::path& parent, const std::filesystem::path& staging);

}  // namespace ckpt::formats
