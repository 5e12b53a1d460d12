#include "formats/container/foreign_content.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <optional>
#include <string_view>
#include <utility>

#include "formats/container/git_lfs.h"
#include "formats/remote/address.h"

namespace ckpt::formats {
namespace {

constexpr std::uint64_t kHeadBytes = 512;

struct Magic {
  std::size_t at;
  std::string_view bytes, what;
};
using namespace std::string_view_literals;
// Sources: each format's own specification; file(1) has them all.
constexpr auto kMagics = std::to_array<Magic>({
    {0, "\x1f\x8b\x08"sv, "a gzip file: unpack it first"},
    {0, "BZh"sv, "a bzip2 file: unpack it first"},
    {0,
     "\xfd"
     "7zXZ\0"sv,
     "an xz file: unpack it first"},
    {0, "\x28\xb5\x2f\xfd"sv, "a Zstandard file: unpack it first"},
    {0, "7z\xbc\xaf\x27\x1c"sv, "a 7z archive: unpack it first"},
    {0, "Rar!\x1a\x07"sv, "a RAR archive: unpack it first"},
    {257, "ustar"sv, "a tar archive: unpack it first"},
    {0, "\x89PNG\r\n"sv, "a PNG image"},
    {0, "\xff\xd8\xff"sv, "a JPEG image"},
    {0, "GIF8"sv, "a GIF image"},
    {0, "%PDF-"sv, "a PDF document"},
    {0,
     "\x7f"
     "ELF"sv,
     "a program or library (ELF)"},
    {0, "GGUF"sv, "a GGUF file, which is not read here"},
    {4, "TFL3"sv,
     "a TensorFlow Lite model, which is not read here: take the model that it was converted from"},
    {4, "ORTM"sv,
     "an ONNX Runtime model (.ort), which is not read here: take the .onnx that it was converted "
     "from"},
    {0, "7767517\n"sv,
     "the graph of an ncnn model, which is not read here: take the model that it was converted "
     "from"},
    {0, "\xdd\x85\x76\x00"sv,
     "the graph of an ncnn model, which is not read here: take the model that it was converted "
     "from"},
    {0, "SQLite format 3"sv, "an SQLite database"},
    {0, "PAR1"sv, "a Parquet file"},
});

bool IsSpace(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

bool StartsWithIgnoringCase(std::string_view text, std::string_view lower) {
  if (text.size() < lower.size()) return false;
  return std::equal(lower.begin(), lower.end(), text.begin(), [](char want, char is) {
    return want == (is >= 'A' && is <= 'Z' ? static_cast<char>(is - 'A' + 'a') : is);
  });
}

// Printable, or white space; bytes above 127 may be UTF-8.
bool IsText(std::string_view head) {
  return std::all_of(head.begin(), head.end(),
                     [](char c) {
                       const auto byte = static_cast<unsigned char>(c);
                       return IsSpace(c) || byte == '\f' || (byte >= 0x20 && byte != 0x7F);
                     }) &&
         std::count_if(head.begin(), head.end(),
                       [](char c) { return static_cast<unsigned char>(c) >= 0x80; }) *
                 4 <
             static_cast<std::ptrdiff_t>(head.size());
}

// The first line that says something, cut.
std::string Beginning(std::string_view text) {
  constexpr std::size_t kShown = 60;
  const std::size_t end = std::min(text.find_first_of("\r\n"), text.size());
  return std::string(text.substr(0, std::min(end, kShown)));
}

struct Content {
  std::string what;      // to be put behind "is "
  bool is_text = false;  // which a format may be, too
};

std::optional<Content> TextContent(std::string_view head) {
  if (head.starts_with("\xef\xbb\xbf")) head.remove_prefix(3);
  while (!head.empty() && IsSpace(head.front())) head.remove_prefix(1);
  if (StartsWithIgnoringCase(head, "<!doctype html") || StartsWithIgnoringCase(head, "<html")) {
    return Content{"an HTML page, as a server sends instead of a file that moved or needs a login"};
  }
  if (head.empty() || !IsText(head)) return std::nullopt;
  const std::string kind = head.starts_with("<?xml")                    ? "an XML text"
                           : head.front() == '{' || head.front() == '[' ? "a JSON text"
                                                                        : "a text";
  return Content{kind + ", no binary file; it begins \"" + Beginning(head) + "\"", true};
}

// Formats whose files are texts, or may be.
bool MayBeText(const std::string& path, std::string_view head) {
  const std::string suffix = std::filesystem::path(path).extension().string();
  const auto texts =
      std::to_array<std::string_view>({".json", ".pbtxt", ".prototxt", ".txt", ".cfg", ""});
  if (std::find(texts.begin(), texts.end(), suffix) != texts.end()) return true;
  // Graphs are written as text under any name: "node {", "version: 1".
  if (suffix != ".pb" && suffix != ".meta") return false;
  const std::size_t end = head.find_first_not_of("abcdefghijklmnopqrstuvwxyz_");
  return end != 0 && end != std::string_view::npos &&
         (head.substr(end).starts_with(':') || head.substr(end).starts_with(" {"));
}

// Formats whose first bytes say nothing, by their names.
std::optional<Content> NamedContent(const Files& files, const std::filesystem::path& path) {
  const std::string suffix = path.extension().string();
  constexpr const char* kSource =
      ", which is not read here: take the model that it was converted from";
  if (suffix == ".mlmodel") return Content{std::string("a Core ML model") + kSource};
  if (suffix == ".mnn") return Content{std::string("an MNN model") + kSource};
  if (suffix == ".distcp") {
    return Content{
        "a part of a checkpoint of torch.distributed.checkpoint (DCP), which is not read; `python "
        "-m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER OUT.pt` makes one file "
        "of its folder"};
  }
  const auto beside = [&](const char* other) {
    return files.Exists(std::filesystem::path(path).replace_extension(other));
  };
  if (suffix == ".bin" && beside(".param")) {
    return Content{std::string("the weights of an ncnn model") + kSource};
  }
  if (suffix == ".bin" && beside(".xml")) {
    return Content{std::string("the weights of an OpenVINO model") + kSource};
  }
  return std::nullopt;
}

// `head`: the first 512 bytes, or all. Nothing where they may be a checkpoint's.
std::optional<Content> ForeignContent(std::string_view head) {
  for (const Magic& magic : kMagics) {
    if (head.size() >= magic.at && head.substr(magic.at).starts_with(magic.bytes)) {
      return Content{std::string(magic.what)};
    }
  }
  if (head.size() == kHeadBytes && head.find_first_not_of('\0') == std::string_view::npos) {
    return Content{
        "filled with zeros at its beginning: a copy or a download that was not finished"};
  }
  return TextContent(head);
}

// Of a name under which there is no file, and which is none of a file either.
Error WithWayToAFile(const std::string& path, Error error) {
  if (IsRemoteName(path)) return error;
  const std::size_t scheme = path.find("://");
  const bool is_url =
      scheme != std::string::npos && scheme > 0 &&
      std::all_of(path.begin(), path.begin() + static_cast<std::ptrdiff_t>(scheme),
                  [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9'); });
  if (is_url) {
    error.code = ErrorCode::kUnsupported;
    error.message =
        "is an address that is not read (https, s3, gs and hf are): fetch it first, with its own "
        "program";
  } else if (path == "-" || path == "/dev/stdin") {
    error.code = ErrorCode::kUnsupported;
    error.message =
        "stdin is not read, since a checkpoint is not read front to back: save it to a file first";
  }
  if (error.code == ErrorCode::kUnsupported) error.file = path;
  return error;
}

}  // namespace

Error WithForeignContent(const Files& files, const std::string& path, Error error) {
  if (error.code == ErrorCode::kNotFound) return WithWayToAFile(path, std::move(error));
  if (error.code != ErrorCode::kCorrupt && error.code != ErrorCode::kUnsupported) return error;
  const std::string& name = error.file.empty() ? path : error.file;
  if (files.IsDirectory(name)) return error;
  const auto file = files.Open(name);
  if (!file) return error;
  if (auto pointer = GitLfsPointer(**file)) return *std::move(pointer);
  std::vector<std::byte> bytes(static_cast<std::size_t>(std::min(kHeadBytes, (*file)->size())));
  if (bytes.empty()) return Error{ErrorCode::kCorrupt, "the file is empty"}.In(name).At(0);
  if (!(*file)->ReadAt(0, bytes)) return error;
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::string suffix = std::filesystem::path(name).extension().string();
  if (head.starts_with("PK\x03\x04") && (suffix == ".onnx" || suffix == ".safetensors")) {
    return Error{ErrorCode::kUnsupported, "is a zip archive: unpack it first"}.In(name);
  }
  auto content = NamedContent(files, name);
  if (!content) content = ForeignContent(head);
  if (!content || (content->is_text && MayBeText(name, head))) return error;
  return Error{ErrorCode::kUnsupported, "is " + content->what}.In(name);
}

}  // namespace ckpt::formats
