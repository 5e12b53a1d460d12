#include "formats/remote/remote_body.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "formats/container/read_failures.h"
#include "formats/encoding/byte_reader.h"
#include "formats/remote/fetch_wire.h"

namespace ckpt::formats {
namespace {

// Two ranges with less between them than this are fetched as one, and a small read takes as much
// behind it along: it is cheaper than one more request. Of a file this is kFreeExtra in all, and
// one byte for kShare of those that were asked for.
constexpr std::uint64_t kGap = 4096;
constexpr std::uint64_t kFreeExtra = 32 << 10, kShare = 16;
// A tensor up to this size that will be read is fetched along with another.
constexpr std::uint64_t kSmall = 256 << 10;
// So many reads one behind the other, past no more than this share of them, are a run: more is
// fetched than was asked for.
constexpr std::uint64_t kTurnsOfRun = 4, kPassedShare = 8;
constexpr std::uint64_t kFirstWindow = 256 << 10, kMostWindow = std::uint64_t{16} << 20;
constexpr std::size_t kMostPieces = 256;  // of one plan
constexpr std::uint64_t kMostPlanned = std::uint64_t{32} << 20;

}  // namespace

// Puts what arrives where it belongs.
class RemoteBody::Arrival : public FetchClient::Sink {
 public:
  Arrival(RemoteBody& body, const std::vector<ByteRange>& plan) : body_(body), plan_(plan) {}

  Status Take(std::size_t index, std::span<const std::byte> bytes) override {
    CKPT_RETURN_IF_ERROR(body_.disk_->WriteAt(plan_[index].begin, bytes));
    if (body_.progress_) body_.progress_(body_.shown_, bytes.size());
    const std::lock_guard lock(body_.mutex_);
    body_.coming_.Remove(plan_[index]);
    body_.here_.Add(plan_[index]);
    body_.changed_.notify_all();
    return {};
  }
  void Missed(std::size_t index) override {
    const std::lock_guard lock(body_.mutex_);
    body_.coming_.Remove(plan_[index]);
    body_.changed_.notify_all();
  }

 private:
  RemoteBody& body_;
  const std::vector<ByteRange>& plan_;
};

Result<std::shared_ptr<RemoteBody>> RemoteBody::Open(std::shared_ptr<FetchClient> client,
                                                     std::string shown, FetchProgress progress) {
  std::error_code ignored;
  std::filesystem::path folder = std::filesystem::temp_directory_path(ignored);
  if (folder.empty()) folder = "/tmp";
  CKPT_ASSIGN_OR_RETURN(auto disk, ScratchFile::Create(folder));
  auto opened = client->Open(shown);
  if (!opened) {
    opened.error().file = shown;
    return Fail(opened);
  }
  std::shared_ptr<RemoteBody> body(
      new RemoteBody(std::move(client), std::move(shown), std::move(progress), std::move(disk)));
  body->file_ = opened->file;
  body->size_ = opened->size;
  body->version_ = std::move(opened->version);
  if (opened->head.size() > body->size_) {
    return Fail(Error{ErrorCode::kIo, "more bytes came than the file has"}.In(body->shown_));
  }
  CKPT_RETURN_IF_ERROR(body->disk_->WriteAt(0, opened->head));
  CKPT_RETURN_IF_ERROR(body->disk_->Resize(body->size_));
  body->here_.Add({0, opened->head.size()});
  if (body->progress_) body->progress_(body->shown_, opened->head.size());
  return body;
}

RemoteBody::~RemoteBody() { client_->Close(file_); }

Status RemoteBody::ReadAt(std::uint64_t offset, std::span<std::byte> out) {
  if (!RangeFits(offset, out.size(), size_)) {
    return Fail(
        Error{ErrorCode::kCorrupt, "the file ends before what was to be read"}.In(shown_).At(
            offset));
  }
  if (out.empty()) return {};
  if (Status fetched = Fetch({offset, offset + out.size()}); !fetched) {
    ReadFailures::Note(fetched.error());
    return fetched;
  }
  Status read = disk_->ReadAt(offset, out);
  if (!read) read.error().file = shown_;
  return read;
}

void RemoteBody::WillRead(std::uint64_t offset, std::uint64_t size) {
  if (size == 0 || !RangeFits(offset, size, size_)) return;
  const std::lock_guard lock(mutex_);
  const ByteRange range{offset, offset + size};
  if (here_.Covers(range)) return;
  wished_.push_back(range);
  is_sorted_ = false;
}

Result<std::shared_ptr<const RandomAccessFile>> RemoteBody::OnDisk(std::uint64_t offset,
                                                                   std::uint64_t size) {
  CKPT_RETURN_IF_ERROR(Fetch({offset, offset + size}));
  return disk_->Read(shown_);
}

bool RemoteBody::IsFull(const std::vector<ByteRange>& plan) const {
  return plan.size() >= kMostPieces || planned_ >= kMostPlanned;
}

bool RemoteBody::MayAdd(std::uint64_t extra) const {
  return extra_ + extra <= kFreeExtra + asked_ / kShare;
}

void RemoteBody::AddPieces(ByteRange range, std::vector<ByteRange>& plan) {
  while (range.begin < range.end && !IsFull(plan)) {
    const std::uint64_t end = std::min<std::uint64_t>(range.end, range.begin + kMostFetchBytes);
    plan.push_back({range.begin, end});
    coming_.Add(plan.back());
    planned_ += end - range.begin;
    range.begin = end;
  }
}

// Does reading go on behind what was missing last, past no more than was read so or is there?
bool RemoteBody::GoesOn(ByteRange missing) const {
  const bool is_near = missing.begin >= last_end_ && missing.begin - last_end_ <= kMostWindow;
  if (!is_near || streak_ == 0) return false;
  std::uint64_t passed = 0;
  for (const ByteRange& gap : here_.Missing({last_end_, missing.begin})) passed += gap.size();
  return passed <= streak_ / kPassedShare;
}

// With what will be read behind it: the rest of a tensor, or, where reading goes on and on, as much
// again as was read so; else a little.
ByteRange RemoteBody::Widened(ByteRange missing) {
  turns_ = GoesOn(missing) ? turns_ + 1 : 1;
  streak_ = turns_ > 1 ? streak_ + missing.size() : missing.size();
  asked_ += missing.size();
  std::uint64_t end = missing.end;
  bool is_wished = false;
  for (const ByteRange& wish : wished_) {
    if (missing.begin < wish.begin || missing.begin >= wish.end) continue;
    is_wished = true;
    const std::uint64_t window = std::clamp(streak_, kFirstWindow, kMostWindow);
    end = std::max(end, std::min(wish.end, missing.begin + window));
  }
  const bool is_run =
      turns_ >= kTurnsOfRun || (turns_ > 1 && !is_wished && missing.begin == last_end_);
  const std::uint64_t meant = end;
  if (is_run) {
    end = std::min(size_, std::max(end, missing.end + std::min(streak_, kMostWindow)));
  } else if (!is_wished && missing.size() < kGap && MayAdd(kGap)) {
    end = missing.begin + kGap;
  }
  // Up to the first byte that is there already.
  if (!is_run) end = here_.Missing({missing.begin, std::min(end, size_)}).front().end;
  extra_ += std::max(end, meant) - meant;
  last_end_ = end;
  return {missing.begin, end};
}

// Small tensors that were announced come along, neighbours as one range.
void RemoteBody::PlanWished(std::vector<ByteRange>& plan) {
  if (!std::exchange(is_sorted_, true)) {
    std::sort(wished_.begin(), wished_.end(),
              [](const ByteRange& a, const ByteRange& b) { return a.begin < b.begin; });
  }
  std::vector<ByteRange> later;
  ByteRange open;  // the neighbours so far
  for (const ByteRange& wish : wished_) {
    if (here_.Covers(wish)) continue;
    if (wish.size() > kSmall || IsFull(plan) || here_.Touches(wish) || coming_.Touches(wish)) {
      later.push_back(wish);
      continue;
    }
    asked_ += wish.size();
    const ByteRange gap{open.end, wish.begin};
    const bool is_neighbour =
        open.size() > 0 && open.size() < kMostFetchBytes &&
        (gap.begin >= gap.end ||
         (gap.size() < kGap && MayAdd(gap.size()) && !here_.Touches(gap) && !coming_.Touches(gap)));
    if (!is_neighbour) {
      AddPieces(open, plan);
      open = wish;
      continue;
    }
    if (gap.begin < gap.end) extra_ += gap.size();
    open.end = std::max(open.end, wish.end);
  }
  AddPieces(open, plan);
  wished_ = std::move(later);
}

std::vector<ByteRange> RemoteBody::Plan(const std::vector<ByteRange>& missing) {
  std::vector<ByteRange> plan;
  planned_ = 0;
  for (const ByteRange& range : missing) {
    for (const ByteRange& free : coming_.Missing(range)) {
      if (IsFull(plan)) return plan;
      for (const ByteRange& absent : here_.Missing(Widened(free))) {
        for (const ByteRange& piece : coming_.Missing(absent)) AddPieces(piece, plan);
      }
    }
  }
  if (!plan.empty()) PlanWished(plan);
  return plan;
}

Status RemoteBody::Ask(const std::vector<ByteRange>& plan) {
  Arrival arrival(*this, plan);
  Status asked = client_->Read(file_, plan, arrival);
  if (progress_) progress_(shown_, 0);
  if (asked) return asked;
  asked.error().file = shown_;
  const std::lock_guard lock(mutex_);
  if (!broken_) broken_ = asked.error();
  changed_.notify_all();
  return asked;
}

Status RemoteBody::Fetch(ByteRange range) {
  std::unique_lock lock(mutex_);
  for (;;) {
    const std::vector<ByteRange> missing = here_.Missing(range);
    if (missing.empty()) return {};
    if (broken_) return Fail(*broken_);
    const std::vector<ByteRange> plan = Plan(missing);
    if (plan.empty()) {  // all of it is on its way to another thread
      changed_.wait(lock);
      continue;
    }
    lock.unlock();
    CKPT_RETURN_IF_ERROR(Ask(plan));
    lock.lock();
  }
}

}  // namespace ckpt::formats
