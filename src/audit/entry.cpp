#include "audit/entry.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "base/text.hpp"

namespace vmigrate::audit {
namespace {

using nlohmann::ordered_json;

// Names are shorter. What peers say and files are called may be of any length, and is for people here.
constexpr std::size_t kLongestText = 1000;
constexpr std::size_t kHashDigits = 64;

/// Every text of an entry with its name, in the canonical order. The number and the time stand before them,
/// the count and the head behind.
constexpr std::array<std::pair<const char*, std::string Entry::*>, 11> kTexts{{
    {"action", &Entry::action},
    {"result", &Entry::result},
    {"user", &Entry::user},
    {"peer", &Entry::peer},
    {"address", &Entry::address},
    {"vm", &Entry::vm},
    {"vm_id", &Entry::vm_id},
    {"migration", &Entry::migration},
    {"source_host", &Entry::source_host},
    {"destination_host", &Entry::destination_host},
    {"reason", &Entry::reason},
}};

std::string cut(const std::string& text) {
  constexpr std::string_view more = "…";
  // What was cut before is not cut again.
  if (text.size() <= kLongestText + more.size()) return valid_utf8(text);
  std::size_t end = kLongestText;
  // Not in the middle of a character.
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0U) == 0x80U) --end;
  return valid_utf8(std::string_view(text).substr(0, end)).append(more);
}

std::optional<std::uint64_t> number_in(const ordered_json& object, const char* name) {
  const auto found = object.find(name);
  if (found == object.end() || !found->is_number_unsigned()) return std::nullopt;
  return found->get<std::uint64_t>();
}

std::string text_in(const ordered_json& object, const char* name) {
  const auto found = object.find(name);
  // Also what somebody else has made of the file is not to grow beyond all measure.
  return found == object.end() || !found->is_string() ? "" : cut(found->get_ref<const std::string&>());
}

}  // namespace

bool is_hash(std::string_view text) {
  return text.size() == kHashDigits && std::ranges::all_of(text, [](char digit) {
           return (digit >= '0' && digit <= '9') || (digit >= 'a' && digit <= 'f');
         });
}

void cut_texts(Entry& entry) {
  for (const auto& [name, text] : kTexts) entry.*text = cut(entry.*text);
}

std::string text_of(const Entry& entry) {
  ordered_json object = ordered_json::object();
  object["number"] = entry.number;
  object["time_unix_ms"] = static_cast<std::uint64_t>(
      std::max<std::int64_t>(0, static_cast<std::int64_t>(entry.time.time_since_epoch().count())));
  for (const auto& [name, text] : kTexts) {
    if (!(entry.*text).empty()) object[name] = cut(entry.*text);
  }
  if (entry.count > 0) object["count"] = entry.count;
  if (entry.head) object["head"] = ordered_json{{"number", entry.head->number}, {"hash", entry.head->hash}};
  return object.dump();
}

Result<Entry> parse_entry(std::string_view text) {
  const auto object = ordered_json::parse(text, nullptr, false);
  if (!object.is_object()) return fail(ErrorCode::failed, "it is not an entry of an audit trail");
  Entry entry;
  const auto number = number_in(object, "number");
  const auto time = number_in(object, "time_unix_ms");
  if (!number || !time) return fail(ErrorCode::failed, "it is an entry without number or time");
  entry.number = *number;
  entry.time = WallTime(std::chrono::milliseconds(*time));
  for (const auto& [name, field] : kTexts) entry.*field = text_in(object, name);
  entry.count = number_in(object, "count").value_or(0);
  if (const auto head = object.find("head"); head != object.end() && head->is_object()) {
    entry.head = Head{number_in(*head, "number").value_or(0), text_in(*head, "hash")};
  }
  return entry;
}

bool is_user(const Entry& entry, std::string_view name) {
  // "NAME (uid NUMBER)", and a name may have anything in it.
  constexpr std::string_view between = " (uid ";
  const std::string_view user = entry.user;
  const auto at = user.rfind(between);
  if (at == std::string_view::npos || !user.ends_with(')')) return !user.empty() && user == name;
  const auto number = user.substr(at + between.size(), user.size() - at - between.size() - 1);
  return name == user || name == user.substr(0, at) || name == number;
}

}  // namespace vmigrate::audit
