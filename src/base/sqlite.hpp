#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include <sqlite3.h>

/// The little that SQLite's C interface lacks. For modules that are linked to SQLite.
namespace vmigrate::sqlite {

struct CloseDatabase {
  void operator()(sqlite3* database) const { ::sqlite3_close(database); }
};
struct FinalizeStatement {
  void operator()(sqlite3_stmt* statement) const { ::sqlite3_finalize(statement); }
};
using Database = std::unique_ptr<sqlite3, CloseDatabase>;
using Statement = std::unique_ptr<sqlite3_stmt, FinalizeStatement>;

struct Opened {
  Database database;  ///< says why by sqlite3_errmsg() where it is not good
  bool good = false;
};

/// Opens or makes the file, and executes `schema`, which makes the tables that are not there yet.
inline Opened open(const std::string& path, const char* schema) {
  // What is committed survives the loss of power: WAL with FULL syncs the log at every commit. The cache is
  // in KiB; otherwise there would be 2 MiB of what is hardly ever read again.
  static constexpr const char* kManner =
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA cache_size = -256";
  sqlite3* raw = nullptr;
  const int status = ::sqlite3_open_v2(
      path.c_str(), &raw, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX, nullptr);
  Database database(raw);
  const bool good = status == SQLITE_OK &&
                    ::sqlite3_exec(raw, kManner, nullptr, nullptr, nullptr) == SQLITE_OK &&
                    ::sqlite3_exec(raw, schema, nullptr, nullptr, nullptr) == SQLITE_OK;
  return {std::move(database), good};
}

/// Null when it cannot be: a step with that is an error, too.
inline Statement prepare(sqlite3* database, const std::string& text) {
  sqlite3_stmt* statement = nullptr;
  ::sqlite3_prepare_v2(database, text.c_str(), -1, &statement, nullptr);
  return Statement(statement);
}

/// The text must last as long as the statement uses it.
inline void bind_parameter(const Statement& statement, int index, const std::string& text) {
  ::sqlite3_bind_text(statement.get(), index, text.data(), static_cast<int>(text.size()), SQLITE_STATIC);
}

inline void bind_parameter(const Statement& statement, int index, std::uint64_t number) {
  ::sqlite3_bind_int64(statement.get(), index, static_cast<sqlite3_int64>(number));
}

/// Empty where there is none.
inline std::string text_column(sqlite3_stmt* statement, int index) {
  const auto* text = reinterpret_cast<const char*>(::sqlite3_column_text(statement, index));
  if (text == nullptr) return {};
  return {text, static_cast<std::size_t>(::sqlite3_column_bytes(statement, index))};
}

}  // namespace vmigrate::sqlite
