#include "formats/torch/script_code.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <set>
#include <string_view>
#include <utility>

#include "formats/container/zip_archive.h"

namespace ckpt::formats {
namespace {

constexpr std::array<std::string_view, 3> kFileFunctions = {"save", "from_file",
                                                            "_load_for_executorch"};
constexpr std::array<std::string_view, 4> kOwnNamespaces = {"aten", "prim", "quantized",
                                                            "torchvision"};

bool IsWordCharacter(char c) {
  return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_';
}

class WordSearch {
 public:
  void Look(std::string_view source) {
    std::string_view before;  // the word that a point joins to this one
    for (std::size_t at = 0; at < source.size();) {
      std::size_t end = at;
      while (end < source.size() && IsWordCharacter(source[end])) ++end;
      if (end == at) {
        if (source[at] != '.') before = {};
        ++at;
        continue;
      }
      const std::string_view word = source.substr(at, end - at);
      Check(before, word);
      before = word;
      at = end;
    }
  }
  std::vector<std::string> Take() { return std::move(found_); }

 private:
  void Check(std::string_view before, std::string_view word) {
    if (Contains(kFileFunctions, word)) return Add("the function " + std::string(word));
    if (word == "classes" && before == "torch") return Add("a class of another library");
    if (before == "ops" && !Contains(kOwnNamespaces, word)) {
      Add("an operator of the library \"" + std::string(word) + "\"");
    }
  }
  template <std::size_t N>
  static bool Contains(const std::array<std::string_view, N>& words, std::string_view word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  }
  void Add(std::string phrase) {
    if (seen_.insert(phrase).second) found_.push_back(std::move(phrase));
  }

  std::vector<std::string> found_;
  std::set<std::string> seen_;
};

}  // namespace

Result<std::vector<std::string>> CodeInScript(const Files& files, const std::string& path) {
  CKPT_ASSIGN_OR_RETURN(std::shared_ptr<const RandomAccessFile> file, files.Open(path));
  const auto archive = ZipArchive::Open(file, Limits{});
  if (!archive) return std::vector<std::string>{};  // the older format, which holds no code
  WordSearch search;
  std::uint64_t left = kMaxScriptSource;
  for (std::size_t i = 0; i < archive->members().size(); ++i) {
    const std::string& name = archive->members()[i].name;
    if (name.find("/code/") == std::string::npos || !name.ends_with(".py")) continue;
    CKPT_ASSIGN_OR_RETURN(const std::string source, archive->Read(i, left));
    left -= source.size();
    search.Look(source);
  }
  return search.Take();
}

bool HoldsScript(const Files& files, const std::string& path) {
  auto file = files.Open(path);
  if (!file) return false;
  const auto archive = ZipArchive::Open(*std::move(file), Limits{});
  if (!archive) return false;
  return std::any_of(
      archive->members().begin(), archive->members().end(),
      [](const ZipMember& member) { return member.name.ends_with("/constants.pkl"); });
}

}  // namespace ckpt::formats
