#include "base/identifiers.hpp"

#include <array>
#include <cctype>
#include <cstdint>
#include <cstdlib>

#include <fmt/format.h>
#include <sys/random.h>

namespace vmigrate {
namespace {

constexpr std::string_view kShape = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";

Result<std::string> canonical(std::string_view text) {
  std::string result(text);
  bool good = text.size() == kShape.size();
  for (std::size_t i = 0; good && i < kShape.size(); ++i) {
    const auto character = static_cast<unsigned char>(text[i]);
    good = kShape[i] == '-' ? character == '-' : std::isxdigit(character) != 0;
    result[i] = static_cast<char>(std::tolower(character));
  }
  if (!good) return fail(ErrorCode::usage, "not a UUID");
  return result;
}

std::string random_text() {
  std::array<std::uint8_t, 16> bytes{};
  // The kernel's pool is ready long before a daemon starts; without it no identifier is safe to use.
  if (::getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) std::abort();
  bytes[6] = static_cast<std::uint8_t>((bytes[6] & 0x0f) | 0x40);  // RFC 4122: version 4,
  bytes[8] = static_cast<std::uint8_t>((bytes[8] & 0x3f) | 0x80);  // variant 1
  std::string text;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += fmt::format("{:02x}", bytes[i]);
  }
  return text;
}

}  // namespace

template <class Tag>
Result<Uuid<Tag>> Uuid<Tag>::parse(std::string_view text) {
  auto checked = canonical(text);
  if (!checked) return fail(checked.error());
  Uuid id;
  id.text_ = std::move(*checked);
  return id;
}

template <class Tag>
Uuid<Tag> Uuid<Tag>::random() {
  Uuid id;
  id.text_ = random_text();
  return id;
}

template class Uuid<VmTag>;
template class Uuid<MigrationTag>;

std::string short_form(const MigrationId& id) {
  return id.text().substr(0, 8);
}

}  // namespace vmigrate
