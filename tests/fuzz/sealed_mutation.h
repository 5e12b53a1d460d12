// Damage behind checksums that are right: how a mutant reaches the code that reads what they cover.
#pragma once

#include <functional>
#include <random>
#include <string>

namespace ckpt::fuzz {

using Mutate = std::function<std::string(std::string)>;

// `archive` with one member mutated, its sizes and checksums as they should be; nothing of it that
// no member holds. Unchanged where it is no archive.
std::string MutateZipMember(const std::string& archive, std::minstd_rand& random,
                            const Mutate& mutate);

// `table` (leveldb's format, without its magic number checked) with the checksum of every block
// that its index names made right, as far as the index can be followed.
std::string SealTableBlocks(std::string table);

}  // namespace ckpt::fuzz
