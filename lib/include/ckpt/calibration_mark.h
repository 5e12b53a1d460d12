// The record that statistics were computed from data: what the file's step and counters say of
// updates proves nothing about them any more.
#pragma once

#include <cstddef>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "ckpt/batch_norm.h"

namespace ckpt {

// The key of Manifest::metadata under which the mark stands, where the format of the file has
// metadata or a record beside it was read: for each tensor a line of its SHA-256 in 64 lower-case
// hexadecimal digits, two spaces, and its name.
inline constexpr std::string_view kCalibrationMark = "ckpt.calibrated";

struct MarkedTensor {
  std::string name;
  std::string sha256;  // of its bytes as a TensorStream yields them
};
std::string MarkText(const std::vector<MarkedTensor>& tensors);
// Lines of another form are passed over.
std::vector<MarkedTensor> ParseMark(std::string_view text);

// The batch norms of the analysis both of whose statistics are marked and hold the bytes that the
// mark names, by their places. Reads those tensors.
std::set<std::size_t> CalibratedNorms(const Checkpoint& checkpoint, const Analysis& analysis);

// `checkpoint` with this mark in its metadata; one that is not handed over must outlive it.
std::unique_ptr<Checkpoint> WithMark(std::unique_ptr<Checkpoint> checkpoint,
                                     const std::vector<MarkedTensor>& tensors);
std::unique_ptr<Checkpoint> WithMark(const Checkpoint& checkpoint,
                                     const std::vector<MarkedTensor>& tensors);

}  // namespace ckpt
