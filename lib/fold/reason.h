// Why a fold is refused: an Error with code kUnfit, told apart from read errors by that code.
#pragma once

#include <cstdio>
#include <string>
#include <string_view>

#include "ckpt/result.h"
#include "core/quoted.h"

namespace ckpt {

inline Error Refusal(std::string reason) { return Error{ErrorCode::kUnfit, std::move(reason)}; }
inline auto Refuse(std::string reason, Remedy remedy = Remedy::kNone) {
  return Fail(Refusal(std::move(reason)).With(remedy));
}
inline bool IsRefusal(const Error& error) noexcept { return error.code == ErrorCode::kUnfit; }

// Why a batch norm stays, and what could change that.
struct KeepingReason {
  KeepingReason() = default;
  KeepingReason(std::string words, Remedy what = Remedy::kNone)
      : text(std::move(words)), remedy(what) {}
  KeepingReason(const char* words) : text(words) {}
  explicit KeepingReason(const Error& error) : text(error.message), remedy(error.remedy) {}

  std::string text = {};
  Remedy remedy = Remedy::kNone;
};

inline std::string FormatNumber(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.9g", value);
  return text;
}

}  // namespace ckpt
