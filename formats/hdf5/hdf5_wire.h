// What a Hdf5File and the child that reads for it say to each other. The parent decodes answers as
// it would a hostile file: a child that runs hostile input may have been taken over.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/result.h"
#include "formats/hdf5/hdf5_file.h"

namespace ckpt::formats {

// kList answers with all objects, groups before what is in them. kElements answers with a count of
// elements, their bytes in the shared memory. kTexts answers with that count, then for each string
// a u64 length and its bytes.
enum class Hdf5Question : std::uint8_t { kList = 1, kElements = 2, kTexts = 3 };

struct Hdf5Request {
  Hdf5Question question = Hdf5Question::kList;
  std::uint32_t dataset = 0;       // the how-manieth of the datasets listed
  std::uint64_t first = 0;         // element, in C order
  std::uint64_t max_elements = 0;  // at least one; the answer may hold fewer
};

std::vector<std::byte> EncodeRequest(const Hdf5Request& request);
Result<Hdf5Request> DecodeRequest(std::span<const std::byte> bytes);

// An answer is an Error or a payload.
class Hdf5AnswerWriter {
 public:
  Hdf5AnswerWriter();
  void Add(const Hdf5Object& object);
  void AddU64(std::uint64_t value);
  void AddText(std::string_view text);  // u64 length, then the bytes
  std::size_t size() const noexcept { return bytes_.size(); }
  std::vector<std::byte> Take() && { return std::move(bytes_); }

 private:
  std::vector<std::byte> bytes_;
};
std::vector<std::byte> EncodeError(const Error& error);

// The payload, or the Error that the answer holds (with `file` put in).
Result<std::span<const std::byte>> DecodeAnswer(std::span<const std::byte> answer,
                                                const std::string& file);
// Checks what the objects say against each other, `file_size` and `limits`: dtype and size of
// elements, shape and byte_size, ranges in the file. Order as sent.
Result<std::vector<Hdf5Object>> DecodeListing(std::span<const std::byte> payload,
                                              const RandomAccessFile& file, const Limits& limits);

}  // namespace ckpt::formats
