#include "cli/progress.h"

#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <mutex>

#include "cli/report/text_table.h"

namespace ckpt::cli {
namespace {

using std::chrono::steady_clock;
constexpr auto kFirstDrawAfter = std::chrono::milliseconds(500);
constexpr auto kDrawEvery = std::chrono::milliseconds(100);

std::uint64_t TotalBytes(const Manifest& manifest) {
  std::uint64_t total = 0;
  for (const TensorInfo& info : manifest.tensors) total += info.byte_size;
  return total;
}

class ProgressStream : public TensorStream {
 public:
  ProgressStream(std::unique_ptr<TensorStream> stream, ProgressBar& bar)
      : stream_(std::move(stream)), bar_(bar) {}
  Result<std::span<const std::byte>> Next() override {
    auto chunk = stream_->Next();
    if (chunk) bar_.Add(chunk->size());
    return chunk;
  }

 private:
  std::unique_ptr<TensorStream> stream_;
  ProgressBar& bar_;
};

}  // namespace

struct ProgressBar::Clock {
  std::mutex mutex;
  steady_clock::time_point next = steady_clock::now() + kFirstDrawAfter;
  bool drawn = false;
};

ProgressBar::ProgressBar(std::string label, std::uint64_t total_bytes, bool silent)
    : label_(std::move(label)), total_(total_bytes) {
  if (!silent && ::isatty(STDERR_FILENO) == 1) clock_ = std::make_unique<Clock>();
}

ProgressBar::~ProgressBar() {
  if (clock_ && clock_->drawn) std::fputs("\r\033[K", stderr);
}

void ProgressBar::Add(std::uint64_t bytes) {
  const std::uint64_t done = done_ += bytes;
  if (!clock_) return;
  const std::unique_lock lock(clock_->mutex, std::try_to_lock);
  const auto now = steady_clock::now();
  if (!lock || now < clock_->next) return;
  clock_->next = now + kDrawEvery;
  clock_->drawn = true;
  const auto percent =
      total_ == 0
          ? 100
          : static_cast<unsigned>(100.0 * static_cast<double>(done) / static_cast<double>(total_));
  std::fprintf(stderr, "\r\033[K%s: %s of %s (%u %%)", label_.c_str(), FormatBytes(done).c_str(),
               FormatBytes(total_).c_str(), percent > 100 ? 100 : percent);
  std::fflush(stderr);
}

std::function<void(const std::string&, std::uint64_t)> FetchLine() {
  if (::isatty(STDERR_FILENO) != 1) return {};
  struct State {
    std::mutex mutex;
    steady_clock::time_point next = steady_clock::now() + kFirstDrawAfter;
    std::uint64_t bytes = 0;
    bool drawn = false;
  };
  return [state = std::make_shared<State>()](const std::string& name, std::uint64_t bytes) {
    const std::lock_guard lock(state->mutex);
    state->bytes += bytes;
    if (bytes == 0 && state->drawn) std::fputs("\r\033[K", stderr);
    if (bytes == 0) state->drawn = false;
    const auto now = steady_clock::now();
    if (bytes == 0 || now < state->next) return;
    state->next = now + kDrawEvery;
    state->drawn = true;
    std::fprintf(stderr, "\r\033[Kfetched %s, of %s", FormatBytes(state->bytes).c_str(),
                 EscapeForDisplay(std::filesystem::path(name).filename().string()).c_str());
    std::fflush(stderr);
  };
}

ProgressCheckpoint::ProgressCheckpoint(const Checkpoint& checkpoint, std::string label, bool silent)
    : ForwardingCheckpoint(checkpoint),
      bar_(std::move(label), TotalBytes(checkpoint.manifest()), silent) {}

Result<std::unique_ptr<TensorStream>> ProgressCheckpoint::Open(TensorId id) const {
  CKPT_ASSIGN_OR_RETURN(auto stream, inner().Open(id));
  return std::unique_ptr<TensorStream>(std::make_unique<ProgressStream>(std::move(stream), bar_));
}

}  // namespace ckpt::cli
