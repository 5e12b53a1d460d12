#include "cli/report/collapsed_names.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

#include "ckpt/error.h"
#include "ckpt/natural_order.h"

namespace ckpt::cli {
namespace {

// A name that has more numbers than layers nest is a line of its own: the work stays bounded.
constexpr std::size_t kMostNumbers = 12;
constexpr std::size_t kMostListed = 12;  // numbers or ranges in one pair of braces

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

// "layer1.0.bn2" is the text "layer", "." and ".bn" around the numbers 1, 0 and 2.
struct Parts {
  std::vector<std::string_view> texts;  // one more than numbers
  std::vector<std::string_view> numbers;
};

Parts PartsOf(std::string_view name) {
  Parts parts;
  std::size_t at = 0;
  while (true) {
    std::size_t digit = at;
    while (digit < name.size() && !IsDigit(name[digit])) ++digit;
    parts.texts.push_back(name.substr(at, digit - at));
    if (digit == name.size()) return parts;
    at = digit;
    while (at < name.size() && IsDigit(name[at])) ++at;
    parts.numbers.push_back(name.substr(digit, at - digit));
  }
}

using Numbers = std::vector<std::string_view>;
// Every combination of the numbers of each place.
struct Block {
  std::vector<Numbers> places;
  std::vector<std::size_t> members;
};

std::optional<std::uint64_t> ValueOf(std::string_view number) {
  if (number.size() > 1 && number[0] == '0') return std::nullopt;  // "01" is no step from "0"
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), value);
  return error == std::errc() ? std::optional(value) : std::nullopt;
}

// The members `of`, all of one pattern, as blocks: those of each number at `place`, where the rest
// of two numbers is the same in one.
std::vector<Block> BlocksOf(const std::vector<Parts>& parts, const std::vector<std::size_t>& of,
                            std::size_t place) {
  if (place == parts[of.front()].numbers.size()) return {Block{{}, of}};
  std::map<std::string_view, std::vector<std::size_t>> by_number;
  for (const std::size_t i : of) by_number[parts[i].numbers[place]].push_back(i);
  std::map<std::vector<Numbers>, Block> merged;
  for (const auto& [number, members] : by_number) {
    for (Block& rest : BlocksOf(parts, members, place + 1)) {
      Block& block = merged[rest.places];
      if (block.places.empty()) {
        block.places.emplace_back();
        block.places.insert(block.places.end(), rest.places.begin(), rest.places.end());
      }
      block.places.front().push_back(number);
      block.members.insert(block.members.end(), rest.members.begin(), rest.members.end());
    }
  }
  std::vector<Block> blocks;
  for (auto& [places, block] : merged) blocks.push_back(std::move(block));
  return blocks;
}

// "7", "{1,2}", "{0..124}".
std::string ToText(Numbers numbers) {
  if (numbers.size() == 1) return std::string(numbers.front());
  std::sort(numbers.begin(), numbers.end(), NaturalLess);
  std::string out;
  std::size_t listed = 0;
  for (std::size_t i = 0; i < numbers.size() && listed < kMostListed; ++listed) {
    std::size_t last = i;
    const auto first = ValueOf(numbers[i]);
    while (first && last + 1 < numbers.size() &&
           ValueOf(numbers[last + 1]) == *first + last + 1 - i)
      ++last;
    if (last < i + 2) last = i;
    out += (out.empty() ? "" : ",") + std::string(numbers[i]);
    if (last > i) out += ".." + std::string(numbers[last]);
    i = last + 1;
    if (listed + 1 == kMostListed && i < numbers.size())
      out += ", " + std::to_string(numbers.size() - i) + " more";
  }
  return "{" + out + "}";
}

std::string NameOf(const std::vector<std::string_view>& texts, const Block& block) {
  std::string out = EscapeForDisplay(texts.front());
  for (std::size_t i = 0; i < block.places.size(); ++i)
    out += ToText(block.places[i]) + EscapeForDisplay(texts[i + 1]);
  return out;
}

}  // namespace

std::vector<CollapsedName> CollapseNames(const std::vector<NamedThing>& things) {
  std::vector<Parts> parts;
  std::map<std::tuple<std::string_view, std::vector<std::string_view>>, std::vector<std::size_t>>
      patterns;
  std::vector<CollapsedName> names;
  for (std::size_t i = 0; i < things.size(); ++i) {
    parts.push_back(PartsOf(things[i].name));
    if (parts[i].numbers.size() > kMostNumbers) {
      names.push_back({EscapeForDisplay(things[i].name), {i}});
      parts[i] = {};
    } else {
      patterns[{things[i].kind, std::move(parts[i].texts)}].push_back(i);
    }
  }
  for (const auto& [pattern, members] : patterns) {
    for (Block& block : BlocksOf(parts, members, 0)) {
      std::sort(block.members.begin(), block.members.end());
      std::string name = NameOf(std::get<1>(pattern), block);
      names.push_back({std::move(name), std::move(block.members)});
    }
  }
  std::sort(names.begin(), names.end(), [](const CollapsedName& a, const CollapsedName& b) {
    return a.members.front() < b.members.front();
  });
  return names;
}

}  // namespace ckpt::cli
