// A short list of names for a message: the first few, and how many more there are.
#pragma once

#include <string>
#include <string_view>

namespace ckpt {

class NameList {
 public:
  void Add(std::string_view name) {
    if (count_ < kShown) text_ += (count_ == 0 ? "\"" : ", \"") + std::string(name) + '"';
    ++count_;
  }
  // Where names that are equal follow one another.
  void AddOnce(std::string_view name) {
    if (count_ == 0 || last_ != name) Add(name);
    last_ = name;
  }
  std::size_t count() const noexcept { return count_; }
  std::string text() const {
    return count_ <= kShown ? text_ : text_ + " and " + std::to_string(count_ - kShown) + " more";
  }

 private:
  static constexpr std::size_t kShown = 10;
  std::string text_, last_;
  std::size_t count_ = 0;
};

}  // namespace ckpt
