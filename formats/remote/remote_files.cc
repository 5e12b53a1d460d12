#include "formats/remote/remote_files.h"

#include <algorithm>
#include <utility>

#include "ckpt/sha256.h"
#include "formats/container/read_failures.h"
#include "formats/remote/address.h"

namespace ckpt::formats {
namespace {

constexpr std::size_t kKept = 8;             // bodies that nobody reads at the moment
constexpr std::size_t kMostOpenings = 4096;  // that are remembered

class RemoteFile : public RandomAccessFile {
 public:
  explicit RemoteFile(std::shared_ptr<RemoteBody> body) : body_(std::move(body)) {}
  const std::string& path() const noexcept override { return body_->shown(); }
  std::uint64_t size() const noexcept override { return body_->size(); }
  Status ReadAt(std::uint64_t offset, std::span<std::byte> out) const override {
    return body_->ReadAt(offset, out);
  }
  void WillRead(std::uint64_t offset, std::uint64_t size) const override {
    body_->WillRead(offset, size);
  }
  Result<std::shared_ptr<const RandomAccessFile>> OnDisk(std::uint64_t offset,
                                                         std::uint64_t size) const override {
    return body_->OnDisk(offset, size);
  }

 private:
  std::shared_ptr<RemoteBody> body_;
};

}  // namespace

RemoteFiles& RemoteFiles::Instance() {
  static RemoteFiles files;
  return files;
}

Result<std::string> RemoteFiles::Name(const std::string& url) {
  CKPT_ASSIGN_OR_RETURN(const RemoteAddress address, ParseRemote(url));
  const std::lock_guard lock(mutex_);
  std::string shown = ShownFor(url, ShownName(address));
  if (digests_.emplace(shown, Sha256(url)).second) to_name_[shown] = url;
  return shown;
}

std::string RemoteFiles::NameInList(const std::string& url) {
  auto named = Name(url);
  if (named) return *std::move(named);
  const std::lock_guard lock(mutex_);
  std::string shown = ShownFor(url, named.error().file);
  digests_.emplace(shown, Sha256(url));
  refused_.emplace(shown, std::move(named).error().In(shown));
  return shown;
}

// Two URLs that differ in what is not shown are two files.
std::string RemoteFiles::ShownFor(const std::string& url, const std::string& plain) {
  const std::string digest = Sha256(url);
  std::string shown = plain;
  for (int number = 2; digests_.contains(shown) && digests_[shown] != digest; ++number)
    shown = plain + "#" + std::to_string(number);
  return shown;
}

bool RemoteFiles::HasNames() const {
  const std::lock_guard lock(mutex_);
  return !digests_.empty();
}

void RemoteFiles::set_progress(FetchProgress progress) {
  const std::lock_guard lock(mutex_);
  progress_ = std::move(progress);
}

Status RemoteFiles::Start() {
  const std::lock_guard lock(mutex_);
  if (to_name_.empty()) return {};
  if (client_ == nullptr) {
    CKPT_ASSIGN_OR_RETURN(client_, FetchClient::Start());
  }
  for (auto& [shown, url] : to_name_) {
    CKPT_RETURN_IF_ERROR(client_->Name(shown, url));
    std::fill(url.begin(), url.end(), 'x');
  }
  to_name_.clear();
  return {};
}

std::shared_ptr<RemoteFiles::Opening> RemoteFiles::OpeningOf(const std::string& shown) const {
  const std::lock_guard lock(mutex_);
  if (openings_.size() > kMostOpenings)
    std::erase_if(openings_, [](const auto& entry) {
      return entry.second.use_count() == 1 && entry.second->body.expired();
    });
  auto& opening = openings_[shown];
  if (opening == nullptr) opening = std::make_shared<Opening>();
  return opening;
}

void RemoteFiles::Keep(std::shared_ptr<RemoteBody> body) const {
  const std::lock_guard lock(mutex_);
  latest_.push_back(std::move(body));
  if (latest_.size() > kKept) latest_.pop_front();
}

Result<std::shared_ptr<RemoteBody>> RemoteFiles::BodyOf(const std::string& shown) const {
  std::shared_ptr<FetchClient> client;
  FetchProgress progress;
  {
    const std::lock_guard lock(mutex_);
    if (const auto refused = refused_.find(shown); refused != refused_.end())
      return Fail(refused->second);
    client = client_;
    progress = progress_;
  }
  if (client == nullptr) {
    return Fail(Error{ErrorCode::kUnsafe,
                      "is a URL that the command line does not name, and is not fetched",
                      shown,
                      {},
                      {}});
  }
  const auto opening = OpeningOf(shown);
  const std::lock_guard lock(opening->mutex);
  if (auto body = opening->body.lock()) return body;
  if (opening->error) return Fail(*opening->error);
  auto body = RemoteBody::Open(std::move(client), shown, std::move(progress));
  if (body) {
    opening->body = *body;
    Keep(*body);
  } else {
    opening->error = body.error();
  }
  return body;
}

Result<std::unique_ptr<RandomAccessFile>> RemoteFiles::Open(
    const std::filesystem::path& path) const {
  auto body = BodyOf(path.string());
  if (!body) {
    ReadFailures::Note(body.error());
    return Fail(body);
  }
  return std::unique_ptr<RandomAccessFile>(std::make_unique<RemoteFile>(*std::move(body)));
}

std::optional<FileStamp> RemoteFiles::StampOf(const std::string& shown) const {
  const auto body = BodyOf(shown);
  if (!body || (*body)->version().empty()) return std::nullopt;
  return FileStamp{shown, (*body)->size(), (*body)->version()};
}

bool RemoteFiles::Exists(const std::filesystem::path& path) const {
  const auto body = BodyOf(path.string());
  if (!body) ReadFailures::Note(body.error());
  return body.has_value();
}

bool RemoteFiles::IsDirectory(const std::filesystem::path&) const { return false; }

Result<std::vector<std::string>> RemoteFiles::List(const std::filesystem::path&) const {
  return std::vector<std::string>();
}

Result<std::unique_ptr<RandomAccessFile>> RemoteFiles::OpenBeneath(
    const std::filesystem::path& folder, const std::string& name) const {
  CKPT_RETURN_IF_ERROR(CheckPlainRelative(folder, name));
  return Open(folder / name);
}

}  // namespace ckpt::formats
