// A progress bar on stderr for long work, and only on a terminal.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "ckpt/forwarding_checkpoint.h"

namespace ckpt::cli {

// Draws once the work has taken half a second; erased at the end. Add() may be called from any
// thread.
class ProgressBar {
 public:
  ProgressBar(std::string label, std::uint64_t total_bytes, bool silent);
  ~ProgressBar();
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  void Add(std::uint64_t bytes);

 private:
  struct Clock;
  std::unique_ptr<Clock> clock_;  // null: silent
  std::string label_;
  std::uint64_t total_;
  std::atomic<std::uint64_t> done_{0};
};

// A line that says how much was fetched over the network, under the same rules. It may be called
// from any thread, and stays valid.
std::function<void(const std::string& name, std::uint64_t bytes)> FetchLine();

// The same checkpoint, its reading shown as progress. `checkpoint` must outlive it.
class ProgressCheckpoint : public ForwardingCheckpoint {
 public:
  ProgressCheckpoint(const Checkpoint& checkpoint, std::string label, bool silent);
  Result<std::unique_ptr<TensorStream>> Open(TensorId id) const override;

 private:
  mutable ProgressBar bar_;
};

}  // namespace ckpt::cli
