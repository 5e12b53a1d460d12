#include "formats/tf_bundle/tensor_streams.h"

#include <algorithm>
#include <queue>
#include <utility>

#include "formats/container/range_stream.h"
#include "formats/tf_bundle/sticky_stream.h"
#include "formats/tf_bundle/stored_elements.h"

namespace ckpt::formats {
namespace {

class WholeStream : public StickyStream {
 public:
  WholeStream(StreamSource source, SharedFile file, const ShardRange& range)
      : StickyStream(source.name),
        source_(std::move(source)),
        reader_(std::move(file), range),
        buffer_(static_cast<std::size_t>(std::min<std::uint64_t>(range.size, kStreamChunkBytes))) {}

 protected:
  Result<std::span<const std::byte>> Produce() override {
    if (reader_.remaining() == 0) {
      CKPT_RETURN_IF_ERROR(reader_.Verify());
      return std::span<const std::byte>();
    }
    const auto size =
        static_cast<std::size_t>(std::min<std::uint64_t>(reader_.remaining(), buffer_.size()));
    const auto stored = std::span(buffer_).first(size);
    CKPT_RETURN_IF_ERROR(reader_.Read(stored));
    return DecodeStored(*source_.dtype, source_.big_endian, stored);
  }

 private:
  StreamSource source_;
  RangeReader reader_;
  std::vector<std::byte> buffer_;
};

class RangeElements : public SliceElements {
 public:
  RangeElements(SharedFile file, const ShardRange& range) : reader_(std::move(file), range) {}
  std::uint64_t remaining() const noexcept override { return reader_.remaining(); }
  Status Read(std::span<std::byte> out) override { return reader_.Read(out); }
  Status Verify() override { return reader_.Verify(); }

 private:
  RangeReader reader_;
};

// C order of the whole visits the elements of each slice in the slice's own C order. So every slice
// is read front to back, in runs of elements that are neighbours in the whole, and the next run is
// always that of the slice whose next element has the lowest place.
class SliceCursor {
 public:
  SliceCursor(const BundleTensor& tensor, const BundleSlice& slice,
              std::unique_ptr<SliceElements> elements, std::size_t buffer_bytes)
      : slice_(slice),
        reader_(std::move(elements)),
        buffer_bytes_(buffer_bytes),
        index_(slice.start),
        strides_(slice.start.size()) {
    std::uint64_t stride = tensor.dtype->stored_bytes;
    for (std::size_t axis = strides_.size(); axis-- > 0;) {
      strides_[axis] = stride;
      stride *= static_cast<std::uint64_t>(tensor.shape[axis]);
    }
    run_bytes_ = tensor.dtype->stored_bytes;
    run_axis_ = strides_.size();
    for (bool spans = true; run_axis_ > 0 && spans;) {
      --run_axis_;
      run_bytes_ *= static_cast<std::uint64_t>(slice.shape[run_axis_]);
      spans = slice.shape[run_axis_] == tensor.shape[run_axis_];
    }
    left_in_run_ = run_bytes_;
  }

  // Where in the whole, in bytes, the current run begins.
  std::uint64_t RunBegin() const {
    std::uint64_t place = 0;
    for (std::size_t axis = 0; axis < strides_.size(); ++axis) {
      place += static_cast<std::uint64_t>(index_[axis]) * strides_[axis];
    }
    return place;
  }
  std::uint64_t left_in_run() const noexcept { return left_in_run_; }
  bool AtEnd() const noexcept { return left_in_run_ == 0; }

  // Moves bytes of the current run into `out`: all of it or as much as `out` takes.
  Result<std::size_t> Copy(std::span<std::byte> out) {
    const auto size = static_cast<std::size_t>(std::min<std::uint64_t>(left_in_run_, out.size()));
    for (auto rest = out.first(size); !rest.empty();) {
      if (taken_ == buffer_.size()) {
        if (rest.size() >= buffer_bytes_) {  // not worth a copy
          CKPT_RETURN_IF_ERROR(reader_->Read(rest));
          break;
        }
        buffer_.resize(
            static_cast<std::size_t>(std::min<std::uint64_t>(buffer_bytes_, reader_->remaining())));
        CKPT_RETURN_IF_ERROR(reader_->Read(buffer_));
        taken_ = 0;
      }
      const std::size_t part = std::min(rest.size(), buffer_.size() - taken_);
      std::copy_n(buffer_.data() + taken_, part, rest.data());
      taken_ += part;
      rest = rest.subspan(part);
    }
    left_in_run_ -= size;
    return size;
  }

  // To the next run; AtEnd() if that was the last. REQUIRES: left_in_run() == 0.
  void NextRun() {
    for (std::size_t axis = run_axis_; axis-- > 0;) {
      if (++index_[axis] < slice_.start[axis] + slice_.shape[axis]) {
        left_in_run_ = run_bytes_;
        return;
      }
      index_[axis] = slice_.start[axis];
    }
    std::vector<std::byte>().swap(buffer_);
  }

  Status Verify() { return reader_->Verify(); }

 private:
  const BundleSlice& slice_;
  std::unique_ptr<SliceElements> reader_;
  std::size_t buffer_bytes_;
  std::vector<std::byte> buffer_;
  std::size_t taken_ = 0;               // of buffer_
  std::vector<std::int64_t> index_;     // in the whole, of the current run
  std::vector<std::uint64_t> strides_;  // of the whole, in bytes
  std::size_t run_axis_ = 0;            // axes from here on lie within one run
  std::uint64_t run_bytes_ = 0, left_in_run_ = 0;
};

class SlicesStream : public StickyStream {
 public:
  SlicesStream(StreamSource source, const BundleTensor& tensor,
               std::vector<std::unique_ptr<SliceElements>> slices)
      : StickyStream(source.name), source_(std::move(source)) {
    const std::size_t share = kAllBuffersBytes / std::max<std::size_t>(1, tensor.slices.size());
    const std::size_t buffer_bytes =
        std::clamp(share / kMinBufferBytes * kMinBufferBytes, kMinBufferBytes, kMaxBufferBytes);
    std::uint64_t total = 0;
    cursors_.reserve(tensor.slices.size());
    for (std::size_t i = 0; i < tensor.slices.size(); ++i) {
      cursors_.emplace_back(tensor, tensor.slices[i], std::move(slices[i]), buffer_bytes);
      total += tensor.slices[i].range.size;
      if (tensor.slices[i].range.size > 0) next_.emplace(cursors_[i].RunBegin(), i);
    }
    chunk_.resize(static_cast<std::size_t>(std::min<std::uint64_t>(total, kStreamChunkBytes)));
  }

 protected:
  Result<std::span<const std::byte>> Produce() override {
    std::size_t filled = 0;
    while (filled < chunk_.size() && !next_.empty()) {
      SliceCursor& cursor = cursors_[next_.top().second];
      CKPT_ASSIGN_OR_RETURN(const std::size_t copied,
                            cursor.Copy(std::span(chunk_).subspan(filled)));
      filled += copied;
      if (cursor.left_in_run() == 0) Advance();
    }
    if (filled == 0) {
      for (SliceCursor& cursor : cursors_) CKPT_RETURN_IF_ERROR(cursor.Verify());
    }
    return DecodeStored(*source_.dtype, source_.big_endian, std::span(chunk_).first(filled));
  }

 private:
  static constexpr std::size_t kAllBuffersBytes = std::size_t{16} << 20;
  static constexpr std::size_t kMinBufferBytes = 64, kMaxBufferBytes = std::size_t{256} << 10;
  using Place = std::pair<std::uint64_t, std::size_t>;  // in the whole; index into cursors_

  void Advance() {
    const std::size_t i = next_.top().second;
    next_.pop();
    cursors_[i].NextRun();
    if (!cursors_[i].AtEnd()) next_.emplace(cursors_[i].RunBegin(), i);
  }

  StreamSource source_;
  std::vector<SliceCursor> cursors_;
  std::priority_queue<Place, std::vector<Place>, std::greater<>> next_;
  std::vector<std::byte> chunk_;
};

}  // namespace

std::unique_ptr<TensorStream> StreamWhole(StreamSource source, SharedFile file,
                                          const ShardRange& range) {
  return std::make_unique<WholeStream>(std::move(source), std::move(file), range);
}

std::unique_ptr<TensorStream> StreamSlices(StreamSource source, const BundleTensor& tensor,
                                           std::vector<SharedFile> files) {
  std::vector<std::unique_ptr<SliceElements>> slices;
  slices.reserve(files.size());
  for (std::size_t i = 0; i < files.size(); ++i) {
    slices.push_back(std::make_unique<RangeElements>(std::move(files[i]), tensor.slices[i].range));
  }
  return StreamSlices(std::move(source), tensor, std::move(slices));
}

std::unique_ptr<TensorStream> StreamSlices(StreamSource source, const BundleTensor& tensor,
                                           std::vector<std::unique_ptr<SliceElements>> slices) {
  return std::make_unique<SlicesStream>(std::move(source), tensor, std::move(slices));
}

}  // namespace ckpt::formats
