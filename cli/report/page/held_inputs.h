// The inputs of a page, as many as there is room for.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "cli/report/json_values.h"

namespace ckpt::cli::page {

// What `make(most)` gives with the longest lists that take no more than `room` bytes; empty where
// even the shortest take more.
std::string Fitted(const std::function<Json(std::size_t most)>& make, std::size_t room);

// Never holds more bytes than its room, of which rows may take one half. What is of clean inputs
// goes before what is of others, the last first.
class HeldInputs {
 public:
  explicit HeldInputs(std::size_t room) : room_(room) {}

  // `rank`: how grave what was found is, from 0. `row` is an object that stands for the input in a
  // list of all, `make` gives what is shown when it is opened.
  void Add(int rank, const Json& row, const std::function<Json(std::size_t most)>& make);

  // [{"row": ..., "detail": ... or null}], in the order in which they were added.
  std::string Take();
  std::uint64_t rows_left_out() const { return rows_left_out_; }

 private:
  struct Held {
    int rank;
    std::string row, detail;
  };
  void DropADetail();
  void DropARow();

  std::size_t room_, rows_ = 0, details_ = 0;  // in bytes
  std::vector<Held> held_;
  std::uint64_t rows_left_out_ = 0;
  int detail_dropped_ = -1, row_dropped_ = -1;  // the gravest of those that had to go
};

}  // namespace ckpt::cli::page
