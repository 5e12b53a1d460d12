// What the library advises, in the options of this program. The library names none of them.
#pragma once

#include <string>
#include <string_view>

#include "ckpt/audit.h"
#include "ckpt/error.h"

namespace ckpt::cli {

// "--rename"; empty for kNone.
std::string_view OptionOf(Setting setting) noexcept;
// "--force replaces it"; empty for kNone. `name` stands where the remedy takes one.
std::string AdviceOf(Remedy remedy, const std::string& name = {});

// "its epsilon is not recorded; --epsilon gives it"
std::string WithAdvice(std::string text, Remedy remedy, const std::string& name = {});
// The message of the error with the option that it is about before it, and the advice behind it;
// names are as they are in the file.
std::string MessageOf(const Error& error);
// What to do about the finding.
std::string FixOf(const Finding& finding);
// Rule::text, and the options that its findings take.
std::string TextOf(const Rule& rule);

}  // namespace ckpt::cli
