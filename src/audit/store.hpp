#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "audit/chain.hpp"
#include "audit/entry.hpp"
#include "base/sqlite.hpp"

namespace vmigrate::audit {

/// The trail's file: SQLite in WAL mode with full sync, one table that is only added to at its end and, when
/// it has grown too long, shortened at its beginning. Not thread-safe.
class Store {
 public:
  /// About 40 MB.
  static constexpr std::uint64_t kKept = 100'000;

  /// Opens and creates it. With more than `kept` entries, and some, the oldest are removed; an entry says so.
  static Result<std::unique_ptr<Store>> open(const std::string& path, std::uint64_t kept = kKept);
  Store(const Store&) = delete;
  Store& operator=(const Store&) = delete;

  /// All of them or none; on return they are on disk. Gives them their numbers.
  Result<> append(std::vector<Entry> entries);
  /// The last entry; number 0 when there is none.
  const Head& head() const { return head_; }

  /// The rows before this number (0: from the end), the newest first, until `look` says that it has enough.
  /// Of those only that have `word` in their text, when it is not empty.
  Result<> backwards(std::uint64_t before, const std::string& word,
                     const std::function<bool(const Row&)>& look) const;
  /// Every row, the oldest first.
  Result<> forwards(const std::function<void(const Row&)>& look) const;

 private:
  Store(sqlite::Database database, std::uint64_t kept) : database_(std::move(database)), kept_(kept) {}
  Result<> read_ends();
  Result<> execute(const char* text) const;
  Result<> insert(const std::vector<Row>& rows) const;
  /// What is to be removed before `newest` is written: the newest of it.
  Result<std::optional<Head>> superfluous(std::uint64_t newest) const;
  Result<> remove_up_to(std::uint64_t number) const;
  Error trouble(const std::string& what) const;

  const sqlite::Database database_;
  const std::uint64_t kept_;
  std::uint64_t first_ = 0;
  Head head_;
};

}  // namespace vmigrate::audit
