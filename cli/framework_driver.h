// The program that has a framework run a file: cli/framework_driver.py as it was at configure time.
#pragma once

#include <string_view>

namespace ckpt::cli {

std::string_view FrameworkDriver() noexcept;

}  // namespace ckpt::cli
