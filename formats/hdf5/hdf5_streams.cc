#include "formats/hdf5/hdf5_streams.h"

#include <algorithm>

#include "formats/encoding/byte_reader.h"
#include "formats/hdf5/hdf5_wire.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kPieceBytes = ChildProcess::kSharedBytes;

// Of a dataset with elements of one size.
std::size_t ElementSize(const Hdf5Object& dataset) {
  return static_cast<std::size_t>(dataset.byte_size / dataset.shape.element_count());
}

class Decoded : public TensorStream {
 public:
  Decoded(std::shared_ptr<const RandomAccessFile> file, std::shared_ptr<ChildProcess> child,
          std::uint32_t index, const Hdf5Object& dataset, std::uint64_t max_text_bytes)
      : file_(std::move(file)),
        child_(std::move(child)),
        index_(index),
        path_(dataset.path),
        texts_(dataset.dtype == Dtype::kString),
        count_(dataset.shape.element_count()),
        bytes_left_(dataset.byte_size),
        max_text_bytes_(max_text_bytes) {
    if (texts_) return;
    element_size_ = ElementSize(dataset);
    const std::size_t whole_elements = kPieceBytes - kPieceBytes % element_size_;
    buffer_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(bytes_left_, whole_elements)));
  }

  Result<std::span<const std::byte>> Next() override {
    if (done_ == count_) return std::span<const std::byte>();
    auto piece = texts_ ? NextTexts() : NextElements();
    if (piece) return piece;
    Error error = piece.error();
    error.file = file_->path();
    error.tensor = path_;
    return Fail(std::move(error));
  }

 private:
  static constexpr std::uint64_t kAnswerOverhead = 4096;  // errors in words

  Result<std::vector<std::byte>> Ask(Hdf5Question question, std::uint64_t max_elements,
                                     std::uint64_t max_bytes, std::span<std::byte> shared) {
    return child_->Ask(EncodeRequest({question, index_, done_, max_elements}),
                       max_bytes + kAnswerOverhead, shared, "reading \"" + path_ + "\"");
  }

  static tl::unexpected<Error> Nonsense() {
    return Fail(ErrorCode::kCorrupt, "the HDF5 library gave no sensible answer");
  }

  Result<std::span<const std::byte>> NextElements() {
    const std::uint64_t most =
        std::min<std::uint64_t>(count_ - done_, buffer_.size() / element_size_);
    CKPT_ASSIGN_OR_RETURN(const auto answer, Ask(Hdf5Question::kElements, most, 0, buffer_));
    CKPT_ASSIGN_OR_RETURN(const auto payload, DecodeAnswer(answer, file_->path()));
    ByteReader in(payload);
    const std::uint64_t got = in.U64();
    if (!in.ok() || in.remaining() != 0 || got == 0 || got > most) return Nonsense();
    done_ += got;
    return std::span<const std::byte>(buffer_).first(static_cast<std::size_t>(got * element_size_));
  }

  Result<std::span<const std::byte>> NextTexts() {
    const std::uint64_t most = count_ - done_;
    CKPT_ASSIGN_OR_RETURN(buffer_, Ask(Hdf5Question::kTexts, most, max_text_bytes_, {}));
    CKPT_ASSIGN_OR_RETURN(const auto payload, DecodeAnswer(buffer_, file_->path()));
    ByteReader in(payload);
    const std::uint64_t got = in.U64();
    if (!in.ok() || got == 0 || got > most) return Nonsense();
    const auto texts = payload.subspan(sizeof(std::uint64_t));
    for (std::uint64_t i = 0; i < got && in.ok(); ++i) in.Bytes(in.U64());
    if (!in.ok() || in.remaining() != 0 || texts.size() > bytes_left_) return Nonsense();
    done_ += got;
    bytes_left_ -= texts.size();
    if (done_ == count_ && bytes_left_ != 0) return Nonsense();
    return texts;
  }

  std::shared_ptr<const RandomAccessFile> file_;
  std::shared_ptr<ChildProcess> child_;
  std::uint32_t index_;
  std::string path_;
  bool texts_;
  std::uint64_t count_, done_ = 0;  // elements
  std::uint64_t bytes_left_, max_text_bytes_;
  std::size_t element_size_ = 0;
  std::vector<std::byte> buffer_;
};

}  // namespace

std::unique_ptr<TensorStream> DecodedStream(std::shared_ptr<const RandomAccessFile> file,
                                            std::shared_ptr<ChildProcess> child,
                                            std::uint32_t index, const Hdf5Object& dataset,
                                            std::uint64_t max_text_bytes) {
  return std::make_unique<Decoded>(std::move(file), std::move(child), index, dataset,
                                   max_text_bytes);
}

}  // namespace ckpt::formats
