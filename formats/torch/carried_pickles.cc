#include "formats/torch/carried_pickles.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include "formats/torch/code_on_load.h"
#include "formats/torch/numpy_array.h"
#include "formats/torch/pickle_reader.h"

namespace ckpt::formats {
namespace {

constexpr unsigned kMaxNesting = 4;
constexpr unsigned kMaxPickles = 64;  // in a row
constexpr std::size_t kTarBlock = 512, kTarSize = 124, kTarSizeDigits = 12, kTarMagic = 257;

bool StartsLikePickle(std::string_view bytes) {
  return bytes.size() > 2 && bytes[0] == '\x80' && bytes[1] >= 2 && bytes[1] <= 5;
}

bool IsTar(std::string_view bytes) {
  return bytes.size() >= kTarBlock && bytes.substr(kTarMagic, 5) == "ustar";
}

}  // namespace

void CarriedPickles::AddGraph(const PickleGraph& graph) {
  for (std::string& name : CodeOnLoad(graph)) {
    if (std::find(names_.begin(), names_.end(), name) == names_.end()) {
      names_.push_back(std::move(name));
    }
  }
  for (PickleId id = 0; id < graph.size(); ++id) {
    if (graph.kind(id) != PickleKind::kObject) continue;
    const PickleObject& call = graph.object(id);
    if (!graph.IsGlobal(call.callable, "torch.storage._load_from_bytes")) continue;
    for (const PickleId argument : graph.TupleItems(call.arguments)) {
      if (const auto bytes = PickledBytes(graph, argument)) AddBytes(*bytes);
    }
  }
}

void CarriedPickles::AddArchive(const ZipArchive& archive, std::string_view top,
                                const std::vector<std::size_t>& added) {
  const std::string data = std::string(top) + "data/", constants = std::string(top) + "constants/";
  for (std::size_t i = 0; i < archive.members().size(); ++i) {
    const ZipMember& member = archive.members()[i];
    if (member.name.starts_with(data) || member.name.starts_with(constants)) continue;
    if (std::find(added.begin(), added.end(), i) != added.end()) continue;
    if (member.name.ends_with(".py") || member.size > bytes_left_) continue;
    if (member.size / kMaxInflation > member.compressed_size + kTarBlock) continue;
    bytes_left_ -= member.size;
    if (const auto bytes = archive.Read(i, member.size)) AddBytes(*bytes);
  }
}

void CarriedPickles::AddBytes(std::string_view bytes) {
  if (depth_ >= kMaxNesting) return;
  ++depth_;
  if (StartsLikePickle(bytes)) {
    AddPickles(bytes);
  } else if (StartsLikeZip(std::as_bytes(std::span(bytes)))) {
    MemoryFiles files;
    files.Add("inner", bytes);
    if (auto file = files.Open("inner")) {
      if (const auto archive = ZipArchive::Open(*std::move(file), limits_)) {
        AddArchive(*archive, "\n");  // a storage's place is not known: all records are looked at
      }
    }
  } else if (IsTar(bytes)) {
    AddTar(bytes);
  }
  --depth_;
}

void CarriedPickles::AddPickles(std::string_view bytes) {
  PickleGraph graph;
  PickleInput input(bytes, "");
  for (unsigned i = 0; i < kMaxPickles && input.remaining() > 0; ++i) {
    // What stands before a fault runs all the same.
    if (!ReadPickle(input, graph)) break;
  }
  AddGraph(graph);
}

void CarriedPickles::AddTar(std::string_view bytes) {
  while (bytes.size() >= kTarBlock && IsTar(bytes)) {
    std::uint64_t size = 0;
    const std::string_view digits = bytes.substr(kTarSize, kTarSizeDigits);
    std::from_chars(digits.data(), digits.data() + digits.size(), size, 8);
    bytes.remove_prefix(kTarBlock);
    if (size > bytes.size()) return;
    AddBytes(bytes.substr(0, static_cast<std::size_t>(size)));
    const std::uint64_t padded = (size + kTarBlock - 1) / kTarBlock * kTarBlock;
    if (padded > bytes.size()) return;
    bytes.remove_prefix(static_cast<std::size_t>(padded));
  }
}

}  // namespace ckpt::formats
