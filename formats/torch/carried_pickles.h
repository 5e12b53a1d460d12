// Pickles that a file carries beside the one that is read, looked at for code that runs when they
// are loaded: other records of the archive, archives (zip, tar) inside it, bytes that a pickle
// hands to torch.load again. They are interpreted, never executed, and what cannot be read is
// passed over.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/formats/format.h"
#include "formats/container/zip_archive.h"
#include "formats/torch/pickle_graph.h"

namespace ckpt::formats {

// A deflated member is read where it is at most so many times its compressed bytes.
inline constexpr std::uint64_t kMaxInflation = 8;

class CarriedPickles {
 public:
  explicit CarriedPickles(const Limits& limits) : limits_(limits) {}

  // The functions that `graph` names, and those in bytes that it hands to torch.load.
  void AddGraph(const PickleGraph& graph);
  // Everything in `archive` but storages (below `top` + "data/" and "constants/") and the members
  // `added`, which are added already.
  void AddArchive(const ZipArchive& archive, std::string_view top,
                  const std::vector<std::size_t>& added = {});
  // A pickle, several in a row, a zip or a tar; nothing where it is none of them.
  void AddBytes(std::string_view bytes);

  // Each once, in the order in which they were met.
  std::vector<std::string> Take() { return std::move(names_); }

 private:
  void AddTar(std::string_view bytes);
  void AddPickles(std::string_view bytes);

  const Limits& limits_;
  std::vector<std::string> names_;
  std::uint64_t bytes_left_ = std::uint64_t{256} << 20;
  unsigned depth_ = 0;
};

}  // namespace ckpt::formats
