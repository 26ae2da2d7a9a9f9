#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/error.hpp"

/// The audit trail: who asked this host for what, and what became of it. docs/audit.md specifies it.
namespace vmigrate::audit {

using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

/// A trail up to one of its entries: whoever knows this notices every change of it and of all before it.
struct Head {
  std::uint64_t number = 0;
  std::string hash;  ///< 64 lower-case hexadecimal digits

  bool operator==(const Head&) const = default;
};

/// Has the form of a hash.
bool is_hash(std::string_view text);

/// One entry. Empty fields are not said.
struct Entry {
  std::uint64_t number = 0;  ///< from 1 on, without gaps; given when it is written
  WallTime time{};           ///< likewise, unless it is set
  std::string action;        ///< what: a verb of the local API, or one of docs/audit.md
  std::string result;        ///< "asked", "accepted", "done", "refused", "completed", ...
  std::string user;          ///< who, on this host: "alice (uid 1000)"
  std::string peer;          ///< who, on another: the name that its certificate proves
  std::string address;       ///< where a connection came from
  std::string vm;
  std::string vm_id;
  std::string migration;
  std::string source_host;
  std::string destination_host;
  std::string reason;          ///< why, for people
  std::uint64_t count = 0;     ///< so many more of the same, this being the last; 0: it stands for itself
  std::optional<Head> head{};  ///< of the trail of `peer`; in "trim": of what was removed here

  bool operator==(const Entry&) const = default;
};

/// What peers say may be long; this much of it is kept.
void cut_texts(Entry& entry);

/// Its canonical bytes: a JSON object on one line, UTF-8, fields in the order above, those that are not said
/// left out, long texts cut. It is what is stored and hashed.
std::string text_of(const Entry& entry);
/// The entry that such a text says. Fields that this version does not know are passed over.
Result<Entry> parse_entry(std::string_view text);

/// The user is called `name`, or has it as its number.
bool is_user(const Entry& entry, std::string_view name);

}  // namespace vmigrate::audit
