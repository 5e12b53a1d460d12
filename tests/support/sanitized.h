// Is this built with AddressSanitizer, which takes ten times as long and needs more of the system?
#pragma once

namespace ckpt::testing {

#if defined(__SANITIZE_ADDRESS__)
inline constexpr bool kSanitized = true;
#elif defined(__has_feature)
inline constexpr bool kSanitized = __has_feature(address_sanitizer);
#else
inline constexpr bool kSanitized = false;
#endif

}  // namespace ckpt::testing
