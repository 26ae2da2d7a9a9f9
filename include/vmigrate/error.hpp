#pragma once

#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

namespace vmigrate {

/// What kind of failure this is, as far as the caller's next step depends on it. Each has one exit code of
/// `vmigrate` (see exit_code), listed in docs/operations.md; the numbers are on the wire and never change.
enum class ErrorCode {
  failed = 1,           ///< did not work; the VM is safe where it was
  usage = 2,            ///< the request itself makes no sense
  not_found = 3,        ///< no such VM, host or migration
  refused = 4,          ///< a check stands against it; nothing was changed
  not_allowed = 5,      ///< the caller or the peer may not do this
  cancelled = 6,        ///< somebody asked for it to end
  not_converging = 7,   ///< memory is dirtied faster than it moves, or time ran out; the VM is safe
  unreachable = 8,      ///< the daemon or the peer does not answer
  needs_attention = 9,  ///< in doubt: an administrator has to decide
};

/// A failure as a person is told it: what and why in `message` (outermost context first), what to do in
/// `hint`.
struct Error {
  ErrorCode code = ErrorCode::failed;
  std::string message;
  std::string hint{};

  /// The same failure with what was being done in front: "context: message".
  Error in(std::string_view context) const&;

  bool operator==(const Error&) const = default;
};

/// A value, or why there is none. What a caller cannot handle is an exception or an abort instead.
template <class Value = void>
using Result = tl::expected<Value, Error>;

/// For `return fail(...)` in a function that returns a Result.
tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint = {});
tl::unexpected<Error> fail(Error error);

/// A failed system call: "what: strerror(number)".
tl::unexpected<Error> fail_errno(std::string_view what, int number);

/// Full lower-case words with hyphens, as in JSON output: "not-found".
std::string_view to_string(ErrorCode code);

/// The exit code of `vmigrate`; 0 is success.
constexpr int exit_code(ErrorCode code) {
  return static_cast<int>(code);
}

}  // namespace vmigrate
