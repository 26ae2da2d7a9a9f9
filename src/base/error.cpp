#include "base/error.hpp"

#include <system_error>

#include <fmt/format.h>

namespace vmigrate {

Error Error::in(std::string_view context) const& {
  return Error{code, fmt::format("{}: {}", context, message), hint};
}

tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(hint)});
}

tl::unexpected<Error> fail(Error error) {
  return tl::unexpected<Error>(std::move(error));
}

tl::unexpected<Error> fail_errno(std::string_view what, int number) {
  return fail(ErrorCode::failed, fmt::format("{}: {}", what, std::generic_category().message(number)));
}

std::string_view to_string(ErrorCode code) {
  switch (code) {
    case ErrorCode::failed: return "failed";
    case ErrorCode::usage: return "usage";
    case ErrorCode::not_found: return "not-found";
    case ErrorCode::refused: return "refused";
    case ErrorCode::not_allowed: return "not-allowed";
    case ErrorCode::cancelled: return "cancelled";
    case ErrorCode::not_converging: return "not-converging";
    case ErrorCode::unreachable: return "unreachable";
    case ErrorCode::needs_attention: return "needs-attention";
  }
  return "failed";
}

}  // namespace vmigrate
