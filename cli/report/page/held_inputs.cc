#include "cli/report/page/held_inputs.h"

#include <utility>

#include "cli/report/page/page_values.h"

namespace ckpt::cli::page {
namespace {

constexpr std::size_t kLongestLists = 2000;

}  // namespace

std::string Fitted(const std::function<Json(std::size_t most)>& make, std::size_t room) {
  for (std::size_t most = kLongestLists; most > 0; most /= 2) {
    std::string text = InScript(make(most));
    if (text.size() <= room) return text;
  }
  return {};
}

void HeldInputs::Add(int rank, const Json& row, const std::function<Json(std::size_t most)>& make) {
  Held held{rank, InScript(row), Fitted(make, room_)};
  taken_ += held.row.size() + held.detail.size();
  held_.push_back(std::move(held));
  while (taken_ > room_ && DropADetail()) continue;
  while (taken_ > room_) DropARow();
}

bool HeldInputs::DropADetail() {
  Held* least = nullptr;
  for (Held& held : held_) {
    if (!held.detail.empty() && (least == nullptr || held.rank <= least->rank)) least = &held;
  }
  if (least == nullptr) return false;
  taken_ -= least->detail.size();
  std::string().swap(least->detail);
  return true;
}

void HeldInputs::DropARow() {
  auto least = held_.begin();
  for (auto held = held_.begin(); held != held_.end(); ++held) {
    if (held->rank <= least->rank) least = held;
  }
  taken_ -= least->row.size() + least->detail.size();
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
  taken_ = 0;
  return out + "]";
}

}  // namespace ckpt::cli::page
