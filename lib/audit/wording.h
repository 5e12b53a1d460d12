// Small pieces of the sentences that findings are made of.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>

namespace ckpt::audit {

constexpr std::size_t kNamed = 3;  // layers, tensors or operations that one sentence names

std::string Number(double value);                               // "0.366", as %g
std::string Plural(std::size_t count, std::string_view thing);  // "1 channel", "3 channels"
// "a, b, c and 81 more": at most `named` items are spelled out.
std::string Listed(std::span<const std::string> items, std::size_t named);

}  // namespace ckpt::audit
