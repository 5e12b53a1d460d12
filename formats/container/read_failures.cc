#include "formats/container/read_failures.h"

namespace ckpt::formats {
namespace {

thread_local ReadFailures* g_innermost = nullptr;

}  // namespace

ReadFailures::ReadFailures() noexcept : outer_(g_innermost) { g_innermost = this; }

ReadFailures::~ReadFailures() { g_innermost = outer_; }

void ReadFailures::Note(const Error& error) {
  if (error.code != ErrorCode::kIo || g_innermost == nullptr || g_innermost->first_) return;
  g_innermost->first_ = error;
}

}  // namespace ckpt::formats
