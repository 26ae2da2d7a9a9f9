#include "trust/pairing_code.hpp"

#include <cctype>
#include <cstdint>
#include <cstdlib>

#include <sys/random.h>

namespace vmigrate::trust {
namespace {

constexpr std::size_t kDigits = 8;
constexpr std::size_t kGroup = 4;

char random_digit() {
  constexpr int fair = 250;  // the largest multiple of ten that a byte can be
  std::uint8_t byte = 0;
  do {
    if (::getrandom(&byte, sizeof byte, 0) != sizeof byte) std::abort();
  } while (byte >= fair);
  return static_cast<char>('0' + byte % 10);
}

}  // namespace

std::string new_pairing_code() {
  std::string code;
  while (code.size() < kDigits) code += random_digit();
  return code;
}

std::string for_people(const std::string& code) {
  return code.substr(0, kGroup) + "-" + code.substr(kGroup);
}

Result<std::string> parse_pairing_code(std::string_view text) {
  std::string code;
  for (const char letter : text) {
    if (letter == '-' || std::isspace(static_cast<unsigned char>(letter)) != 0) continue;
    // The text is not repeated: it may be a code with a slip in it.
    if (letter < '0' || letter > '9' || code.size() == kDigits) {
      code.clear();
      break;
    }
    code += letter;
  }
  if (code.size() == kDigits) return code;
  return fail(ErrorCode::usage, "that is no pairing code",
              "it has eight digits, like 1234-5678; the other host shows it");
}

}  // namespace vmigrate::trust
