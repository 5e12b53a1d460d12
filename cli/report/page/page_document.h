// The HTML around the data of a page: one file that asks for nothing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace ckpt::cli::page {

// Made by CMake of page.css and of the files in script/.
std::string_view Style() noexcept;
const std::string& Script();

struct Document {
  std::string title;  // for people, as raw text
  std::string data;   // as InScript makes it
  std::string plain;  // what stands there for who runs no scripts, as raw text
};
std::string ToHtml(const Document& document);

// "default-src 'none'; script-src 'sha256-...'; ...": nothing runs but the script of the page, and
// nothing is fetched.
std::string ContentSecurityPolicy();
// "sha256-" and the digest in base 64, as the policy names an element by its text.
std::string HashSource(std::string_view text);

}  // namespace ckpt::cli::page
