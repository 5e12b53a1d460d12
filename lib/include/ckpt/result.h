// Result<T>: a value or an Error. Every function that can fail on input returns one.
//
//   Result<Shape> shape = Shape::FromDims(dims);
//   if (!shape) return Fail(shape);            // or CKPT_RETURN_IF_ERROR
//   CKPT_ASSIGN_OR_RETURN(Shape shape, Shape::FromDims(dims));
#pragma once

#include <tl/expected.hpp>
#include <utility>

#include "ckpt/error.h"

namespace ckpt {

// A dropped result is a warning, which tl::expected alone does not give.
template <class T>
class [[nodiscard]] Result : public tl::expected<T, Error> {
 public:
  using tl::expected<T, Error>::expected;
};

using Status = Result<void>;

// The failure to return: `return Fail(ErrorCode::kCorrupt, "…");`
inline tl::unexpected<Error> Fail(ErrorCode code, std::string message) {
  return tl::unexpected<Error>(Error{code, std::move(message)});
}
inline tl::unexpected<Error> Fail(Error error) { return tl::unexpected<Error>(std::move(error)); }
// Passes on the error of a failed result of another type.
template <class T>
tl::unexpected<Error> Fail(const Result<T>& failed) {
  return tl::unexpected<Error>(failed.error());
}

}  // namespace ckpt

#define CKPT_CONCAT_INNER(a, b) a##b
#define CKPT_CONCAT(a, b) CKPT_CONCAT_INNER(a, b)
#define CKPT_RETURN_IF_ERROR(expression)                                      \
  do {                                                                        \
    if (auto ckpt_status = (expression); !ckpt_status)                        \
      return ::tl::unexpected<::ckpt::Error>(std::move(ckpt_status).error()); \
  } while (false)
#define CKPT_ASSIGN_OR_RETURN(declaration, expression) \
  CKPT_ASSIGN_OR_RETURN_INNER(CKPT_CONCAT(ckpt_result_, __LINE__), declaration, expression)
#define CKPT_ASSIGN_OR_RETURN_INNER(result, declaration, expression)              \
  auto result = (expression);                                                     \
  if (!result) return ::tl::unexpected<::ckpt::Error>(std::move(result).error()); \
  declaration = *std::move(result)
