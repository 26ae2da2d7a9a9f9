#pragma once

#include <cstdint>
#include <memory>
#include <string>

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
