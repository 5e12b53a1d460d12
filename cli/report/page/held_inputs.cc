#include "cli/report/page/held_inputs.h"

#include <algorithm>
#include <utility>

#include "cli/report/page/page_values.h"

namespace ckpt::cli::page {
namespace {

constexpr std::size_t kLongestLists = 2000;

}  // namespace

std::string Fitted(const std::function<Json(std::size_t most)>& make, std::size_t room) {
  for (std::size_t most = kLongestLists; most > 0;) {
    std::string text = InScript(make(most));
    if (text.size() <= room) return text;
    const double share = static_cast<double>(room) / static_cast<double>(text.size());
    most = std::min(most / 2, static_cast<std::size_t>(static_cast<double>(most) * share));
  }
  return {};
}

void HeldInputs::Add(int rank, const Json& row, const std::function<Json(std::size_t most)>& make) {
  // What would be the first to go again is not made.
  if (rank <= row_dropped_) {
    ++rows_left_out_;
    return;
  }
  Held held{rank, InScript(row), {}};
  if (rank > detail_dropped_ && held.row.size() < room_) {
    held.detail = Fitted(make, room_ - held.row.size());
  }
  rows_ += held.row.size();
  details_ += held.detail.size();
  held_.push_back(std::move(held));
  while (rows_ > room_ / 2) DropARow();
  while (rows_ + details_ > room_) DropADetail();
}

void HeldInputs::DropADetail() {
  Held* least = nullptr;
  for (Held& held : held_) {
    if (!held.detail.empty() && (least == nullptr || held.rank <= least->rank)) least = &held;
  }
  detail_dropped_ = std::max(detail_dropped_, least->rank);
  details_ -= least->detail.size();
  std::string().swap(least->detail);
}

void HeldInputs::DropARow() {
  auto least = held_.begin();
  for (auto held = held_.begin(); held != held_.end(); ++held) {
    if (held->rank <= least->rank) least = held;
  }
  row_dropped_ = std::max(row_dropped_, least->rank);
  rows_ -= least->row.size();
  details_ -= least->detail.size();
  held_.erase(least);
  ++rows_left_out_;
}

std::string HeldInputs::Take() {
  std::string out = "[";
  for (const Held& held : held_) {
    out += out.size() > 1 ? ",\n" : "\n";
    out += "{\"row\":" + held.row + ",\"detail\":" + (held.detail.empty() ? "null" : held.detail) +
           "}";
  }
  held_.clear();
  rows_ = details_ = 0;
  return out + "]";
}

}  // namespace ckpt::cli::page
