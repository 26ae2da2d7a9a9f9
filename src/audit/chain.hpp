#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "audit/entry.hpp"

namespace vmigrate::audit {

/// An entry as it is stored.
struct Row {
  std::uint64_t number = 0;
  std::string text;
  std::string hash;
};

/// What the first entry of all is chained to: 64 zeros.
std::string first_link();
/// SHA-256 of the hash of the entry before, a line feed, and the entry's text; in hexadecimal digits.
std::string hash_of(const std::string& previous, const std::string& text);

/// Looks at every entry of a trail, the oldest first, and says what is not as it was written.
class ChainCheck {
 public:
  /// What another host has noted of this trail.
  struct Witnessed {
    std::string host;
    Head head;
  };

  /// Heads that the trail is to be compared with; before the first row.
  void expect(Witnessed what) { witnessed_.emplace(what.head.number, Expected{std::move(what), false}); }
  void add(const Row& row);
  /// After the last row. `written` is what this daemon knows by itself to be the newest.
  void finish(const std::optional<Head>& written);

  const std::vector<std::string>& findings() const { return findings_; }
  std::uint64_t entries() const { return entries_; }
  /// Of the expected heads, those that were in the trail as they should.
  std::uint64_t agreeing() const { return agreeing_; }
  /// Of the expected heads, those of entries that were removed for their age.
  std::uint64_t too_old() const { return too_old_; }
  /// The last row.
  const std::optional<Head>& head() const { return head_; }

 private:
  struct Expected {
    Witnessed what;
    bool met = false;
  };

  void look_at_number(const Row& row);
  void look_at_text(const Row& row);
  void compare(const Row& row);
  void look_at_beginning();
  void found(std::string finding);

  std::multimap<std::uint64_t, Expected> witnessed_;  // by number
  std::vector<std::string> findings_;
  std::uint64_t entries_ = 0;
  std::uint64_t agreeing_ = 0;
  std::uint64_t too_old_ = 0;
  std::uint64_t left_out_ = 0;
  std::optional<Row> first_;
  std::optional<Head> head_;
  std::optional<Head> trimmed_;  ///< what the newest entry of that kind says was removed
};

}  // namespace vmigrate::audit
