#include "formats/container/memory_headroom.h"

#include <cstddef>
#include <new>

namespace ckpt::formats {

void RequireHeadroom() {
  constexpr std::size_t kBytes = std::size_t{16} << 20;
  ::operator delete(::operator new(kBytes));
}

}  // namespace ckpt::formats
