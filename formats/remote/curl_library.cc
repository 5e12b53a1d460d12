#include "formats/remote/curl_library.h"

#include <dlfcn.h>

#include <filesystem>
#include <system_error>

namespace ckpt::formats {
namespace {

template <typename Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

std::vector<std::string> FilesOf(const void* function, const curl_version_info_data& about) {
  std::vector<std::string> files;
  Dl_info place{};
  if (::dladdr(function, &place) != 0 && place.dli_fname != nullptr) {
    std::error_code ignored;
    const std::filesystem::path library = std::filesystem::canonical(place.dli_fname, ignored);
    if (library.has_parent_path()) files.push_back(library.parent_path().string());
  }
  for (const char* authorities : {about.cainfo, about.capath}) {
    if (authorities != nullptr) files.emplace_back(authorities);
  }
  return files;
}

}  // namespace

bool CurlLibrary::Load(std::string& why) {
  void* library = nullptr;
  for (const char* name : {"libcurl.so.4", "libcurl-gnutls.so.4", "libcurl.so"}) {
    if (library == nullptr) library = ::dlopen(name, RTLD_NOW | RTLD_LOCAL);
  }
  why = "URLs are read by libcurl, which is not installed (Debian: libcurl4)";
  if (library == nullptr) return false;
  why = "the libcurl of this machine is too old for URLs; 7.75 or newer is needed";
  const bool found = Find(library, "curl_global_init", global_init) &&
                     Find(library, "curl_easy_init", easy_init) &&
                     Find(library, "curl_easy_setopt", easy_setopt) &&
                     Find(library, "curl_easy_getinfo", easy_getinfo) &&
                     Find(library, "curl_easy_cleanup", easy_cleanup) &&
                     Find(library, "curl_easy_strerror", easy_strerror) &&
                     Find(library, "curl_multi_init", multi_init) &&
                     Find(library, "curl_multi_setopt", multi_setopt) &&
                     Find(library, "curl_multi_add_handle", multi_add_handle) &&
                     Find(library, "curl_multi_remove_handle", multi_remove_handle) &&
                     Find(library, "curl_multi_perform", multi_perform) &&
                     Find(library, "curl_multi_poll", multi_poll) &&
                     Find(library, "curl_multi_info_read", multi_info_read) &&
                     Find(library, "curl_slist_append", slist_append) &&
                     Find(library, "curl_slist_free_all", slist_free_all);
  decltype(&curl_version_info) version_info = nullptr;
  if (!found || !Find(library, "curl_version_info", version_info)) return false;
  constexpr unsigned kSignature4Since = 0x074b00;  // 7.75.0
  const curl_version_info_data* about = version_info(CURLVERSION_NOW);
  if (about->version_num < kSignature4Since) return false;
  files = FilesOf(reinterpret_cast<const void*>(global_init), *about);
  why.clear();
  return global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

}  // namespace ckpt::formats
