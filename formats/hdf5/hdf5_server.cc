#include "formats/hdf5/hdf5_server.h"

#include <algorithm>
#include <deque>

#include "formats/container/memory_headroom.h"
#include "formats/encoding/byte_reader.h"
#include "formats/hdf5/hdf5_attributes.h"
#include "formats/hdf5/hdf5_bounds.h"
#include "formats/hdf5/hdf5_dataset.h"
#include "formats/hdf5/hdf5_driver.h"
#include "formats/hdf5/hdf5_elements.h"
#include "formats/hdf5/hdf5_tree.h"
#include "formats/hdf5/hdf5_wire.h"

namespace ckpt::formats {

struct Hdf5Server::State {
  // What reading a listed dataset takes: its path, shape and attribute "dtype".
  struct Listed {
    haddr_t address;
    Hdf5Object object;
  };
  struct Reading {
    std::uint32_t dataset;
    Hdf5Elements elements;
  };

  const RandomAccessFile& source;
  const Limits limits;
  Hdf5Id file = {};
  std::vector<Listed> datasets = {};
  std::deque<Reading> reading = {};  // the latest used first

  std::uint64_t MaxChunkBytes() const { return limits.hdf5_memory_bytes / kHdf5ChunkShare; }

  Result<std::vector<std::byte>> Answer(const Hdf5Request& request, std::span<std::byte> shared);
  Status Open();
  Result<std::vector<std::byte>> List();
  Status ListObject(hid_t id, haddr_t address, Hdf5Object& object, std::uint64_t& budget);
  Status CountTexts(haddr_t address, Hdf5Object& object, std::uint64_t& budget);
  Result<Hdf5Elements*> ElementsOf(std::uint32_t dataset);
  Result<std::vector<std::byte>> Read(const Hdf5Request& request, std::span<std::byte> shared);
};

Hdf5Server::Hdf5Server(const RandomAccessFile& file, const Limits& limits)
    : state_(new State{.source = file, .limits = limits}) {}

std::vector<std::byte> Hdf5Server::operator()(std::span<const std::byte> request,
                                              std::span<std::byte> shared) {
  RequireHeadroom();
  auto answer = [&]() -> Result<std::vector<std::byte>> {
    CKPT_ASSIGN_OR_RETURN(const Hdf5Request decoded, DecodeRequest(request));
    return state_->Answer(decoded, shared);
  }();
  if (answer) return *std::move(answer);
  return EncodeError(DriverReadFailure() ? *DriverReadFailure() : answer.error());
}

Result<std::vector<std::byte>> Hdf5Server::State::Answer(const Hdf5Request& request,
                                                         std::span<std::byte> shared) {
  switch (request.question) {
    case Hdf5Question::kList:
      return List();
    case Hdf5Question::kElements:
    case Hdf5Question::kTexts:
      return Read(request, shared);
  }
  return Fail(ErrorCode::kInternal, "unknown request");
}

Status Hdf5Server::State::Open() {
  H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  H5PLset_loading_state(0);          // a filter that a file names must not load code
  H5Lunregister(H5L_TYPE_EXTERNAL);  // links are never followed; the library could not either
  CKPT_ASSIGN_OR_RETURN(file, OpenWithDriver(source, MaxChunkBytes()));
  return {};
}

Result<std::vector<std::byte>> Hdf5Server::State::List() {
  CKPT_RETURN_IF_ERROR(Open());
  Hdf5AnswerWriter answer;
  std::uint64_t budget = limits.metadata_bytes;
  const Hdf5Visit visit = [&](hid_t id, haddr_t address, Hdf5Object::Kind kind,
                              const std::string& path) -> Status {
    RequireHeadroom();
    Hdf5Object object{.path = path, .kind = kind};
    CKPT_RETURN_IF_ERROR(ListObject(id, address, object, budget));
    answer.Add(object);
    return {};
  };
  CKPT_RETURN_IF_ERROR(WalkTree(file.get(), source.size(), limits, visit));
  return std::move(answer).Take();
}

Status Hdf5Server::State::ListObject(hid_t id, haddr_t address, Hdf5Object& object,
                                     std::uint64_t& budget) {
  CKPT_ASSIGN_OR_RETURN(object.attributes, ReadAttributes(id, object.path, budget));
  if (object.kind == Hdf5Object::Kind::kGroup) return {};
  std::sort(object.attributes.begin(), object.attributes.end(),
            [](const auto& a, const auto& b) { return a.name < b.name; });
  CKPT_RETURN_IF_ERROR(DescribeDataset(id, source.size(), object));
  if (object.dtype == Dtype::kString) CKPT_RETURN_IF_ERROR(CountTexts(address, object, budget));
  Hdf5Object needed{.path = object.path, .shape = object.shape};
  if (const Hdf5Attribute* dtype = object.FindAttribute("dtype")) needed.attributes = {*dtype};
  datasets.push_back({address, std::move(needed)});
  return {};
}

// How long the strings are only their reading tells.
Status Hdf5Server::State::CountTexts(haddr_t address, Hdf5Object& object, std::uint64_t& budget) {
  CKPT_ASSIGN_OR_RETURN(Hdf5Elements elements,
                        Hdf5Elements::Open(file.get(), address, object, MaxChunkBytes()));
  object.byte_size = 0;
  for (std::uint64_t at = 0; at < object.shape.element_count();) {
    CKPT_ASSIGN_OR_RETURN(const auto texts,
                          elements.ReadTexts(at, object.shape.element_count() - at));
    for (const std::string& text : texts) object.byte_size += sizeof(std::uint64_t) + text.size();
    at += texts.size();
    if (object.byte_size > budget) {
      return Fail(DatasetError(ErrorCode::kLimitExceeded,
                               "has strings that are larger than the limit metadata_bytes",
                               object.path));
    }
  }
  budget -= object.byte_size;
  return {};
}

Result<Hdf5Elements*> Hdf5Server::State::ElementsOf(std::uint32_t dataset) {
  const auto found = std::find_if(reading.begin(), reading.end(),
                                  [&](const Reading& open) { return open.dataset == dataset; });
  if (found != reading.end()) {
    std::rotate(reading.begin(), found, std::next(found));
    return &reading.front().elements;
  }
  if (dataset >= datasets.size()) return Fail(ErrorCode::kInternal, "unknown dataset");
  if (reading.size() == kHdf5OpenDatasets) reading.pop_back();
  const Listed& listed = datasets[dataset];
  CKPT_ASSIGN_OR_RETURN(
      auto opened, Hdf5Elements::Open(file.get(), listed.address, listed.object, MaxChunkBytes()));
  reading.push_front({dataset, std::move(opened)});
  return &reading.front().elements;
}

Result<std::vector<std::byte>> Hdf5Server::State::Read(const Hdf5Request& request,
                                                       std::span<std::byte> shared) {
  CKPT_ASSIGN_OR_RETURN(Hdf5Elements* const elements, ElementsOf(request.dataset));
  Hdf5AnswerWriter answer;
  if (request.question == Hdf5Question::kElements) {
    CKPT_ASSIGN_OR_RETURN(const std::uint64_t count,
                          elements->Read(request.first, request.max_elements, shared));
    answer.AddU64(count);
  } else {
    CKPT_ASSIGN_OR_RETURN(const auto texts,
                          elements->ReadTexts(request.first, request.max_elements));
    answer.AddU64(texts.size());
    for (const std::string& text : texts) answer.AddText(text);
  }
  return std::move(answer).Take();
}

}  // namespace ckpt::formats
