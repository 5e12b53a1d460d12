// Which operations run, and when each value is read for the last time.
#pragma once

#include <vector>

#include "ckpt/execution/run.h"

namespace ckpt::execution {

struct Schedule {
  static constexpr std::uint32_t kNever = UINT32_MAX;  // wanted: it stays
  std::vector<network::ValueId> wanted = {};
  std::vector<bool> runs = {};                // by operation
  std::vector<bool> needed = {};              // by value
  std::vector<std::uint32_t> last_read = {};  // by value: an operation
};
// Checks that every value is there and made before it is read.
Result<Schedule> MakeSchedule(const network::Network& network,
                              const std::vector<network::ValueId>& wanted);

// "\"stem/conv\": Convolution: ..." before what is said of an operation.
Error AtOperation(const network::Network& network, std::size_t operation, Error error);

}  // namespace ckpt::execution
