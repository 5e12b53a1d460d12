#include "cli/report/page/page_document.h"

#include <cstdint>

#include "ckpt/sha256.h"
#include "cli/report/page/page_values.h"

namespace ckpt::cli::page {
namespace {

constexpr std::string_view kDigits =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

std::uint32_t ValueOf(char digit) {
  return static_cast<std::uint32_t>(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

std::string Base64OfHexadecimal(std::string_view hex) {
  std::string out;
  for (std::size_t i = 0; i < hex.size(); i += 6) {  // 3 bytes, 4 digits
    const std::string_view group = hex.substr(i, 6);
    std::uint32_t bits = 0;
    for (const char digit : group) bits = bits << 4 | ValueOf(digit);
    bits <<= 4 * (6 - group.size());
    const std::size_t digits = group.size() / 2 + 1;
    for (std::size_t j = 0; j < 4; ++j)
      out += j < digits ? kDigits[bits >> (18 - 6 * j) & 63] : '=';
  }
  return out;
}

}  // namespace

std::string HashSource(std::string_view text) {
  return "sha256-" + Base64OfHexadecimal(Sha256(text));
}

std::string ContentSecurityPolicy() {
  return "default-src 'none'; script-src '" + HashSource(Script()) + "'; style-src '" +
         HashSource(Style()) + "'; base-uri 'none'; form-action 'none'";
}

std::string ToHtml(const Document& document) {
  std::string out =
      "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"";
  out += ContentSecurityPolicy();
  out +=
      "\">\n<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n"
      "<meta name=\"generator\" content=\"ckpt " CKPT_VERSION "\">\n<title>";
  out += InHtml(document.title);
  out += "</title>\n<style>";
  out += Style();
  out +=
      "</style>\n</head>\n<body>\n<a class=\"skip\" href=\"#report\">Skip to the report</a>\n"
      "<header id=\"head\"></header>\n<main id=\"report\" tabindex=\"-1\">\n"
      "<noscript>\n<p>This page draws its pictures with a script of its own, which does not run "
      "here. In short:</p>\n<pre>";
  out += InHtml(document.plain);
  out += "</pre>\n</noscript>\n</main>\n<footer><p>Made by ckpt " CKPT_VERSION
         ". This file is complete: it loads nothing and sends nothing.</p></footer>\n"
         "<script type=\"application/json\" id=\"data\">";
  out += document.data;
  out += "</script>\n<script>";
  out += Script();
  out += "</script>\n</body>\n</html>\n";
  return out;
}

}  // namespace ckpt::cli::page
