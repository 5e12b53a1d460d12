#include "formats/remote/curl_library.h"

#include <dlfcn.h>

namespace ckpt::formats {
namespace {

template <typename Function>
bool Find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
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
  if (version_info(CURLVERSION_NOW)->version_num < kSignature4Since) return false;
  why.clear();
  return global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

}  // namespace ckpt::formats
