// Which word was meant by one with a slip of the keyboard in it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ckpt::cli {

// The one of `words` that `word` becomes by the fewest slips (a letter too much, one too few,
// another one, two exchanged; upper and lower case are the same); empty where even that needs more
// than one slip in three letters, or three.
std::string Nearest(std::string_view word, const std::vector<std::string>& words);
// "; did you mean audit?", or nothing.
std::string DidYouMean(std::string_view word, const std::vector<std::string>& words);

std::vector<std::string> FormatNames();
// Ids and names of the rules.
std::vector<std::string> RuleWords();
// "there is no rule ..."
std::string NoSuchRule(std::string_view word);

}  // namespace ckpt::cli
