#include "audit/store.hpp"

#include <limits>
#include <utility>

namespace vmigrate::audit {
namespace {

constexpr const char* kSchema = R"sql(
  CREATE TABLE IF NOT EXISTS entries (
    number INTEGER PRIMARY KEY,
    entry TEXT NOT NULL,
    hash TEXT NOT NULL
  ) STRICT;
)sql";

using sqlite::bind_parameter;
using sqlite::prepare;
using sqlite::Statement;
using sqlite::text_column;

Row row_of(const Statement& statement) {
  return {static_cast<std::uint64_t>(::sqlite3_column_int64(statement.get(), 0)),
          text_column(statement.get(), 1), text_column(statement.get(), 2)};
}

/// Chained to one another and to what is there.
std::vector<Row> chained(std::vector<Entry> entries, Head last) {
  std::vector<Row> rows;
  rows.reserve(entries.size());
  for (auto& entry : entries) {
    entry.number = last.number + 1;
    std::string text = text_of(entry);
    std::string hash = hash_of(last.number == 0 ? first_link() : last.hash, text);
    last = {entry.number, hash};
    rows.push_back({entry.number, std::move(text), std::move(hash)});
  }
  return rows;
}

Entry trim_entry(const Head& removed, WallTime now) {
  Entry entry;
  entry.time = now;
  entry.action = "trim";
  entry.result = "done";
  entry.reason = "older entries are removed";
  entry.head = removed;
  return entry;
}

}  // namespace

Result<std::unique_ptr<Store>> Store::open(const std::string& path, std::uint64_t kept) {
  auto [database, good] = sqlite::open(path, kSchema);
  std::unique_ptr<Store> store(new Store(std::move(database), kept));
  if (!good) return fail(store->trouble("cannot open").in(path));
  if (auto read = store->read_ends(); !read) return fail(read.error().in(path));
  return store;
}

Result<> Store::read_ends() {
  const auto statement = prepare(database_.get(),
                                 "SELECT number, entry, hash FROM entries WHERE number IN "
                                 "((SELECT min(number) FROM entries), (SELECT max(number) FROM entries)) "
                                 "ORDER BY number");
  int status = ::sqlite3_step(statement.get());
  for (; status == SQLITE_ROW; status = ::sqlite3_step(statement.get())) {
    auto row = row_of(statement);
    if (first_ == 0) first_ = row.number;
    head_ = {row.number, std::move(row.hash)};
  }
  if (status != SQLITE_DONE) return fail(trouble("cannot read"));
  return {};
}

Result<> Store::append(std::vector<Entry> entries) {
  if (entries.empty()) return {};
  const auto removed = superfluous(head_.number + entries.size() + 1);
  if (!removed) return fail(removed.error());
  if (*removed) entries.insert(entries.begin(), trim_entry(**removed, entries.front().time));
  const auto rows = chained(std::move(entries), head_);
  const auto written = execute("BEGIN IMMEDIATE")
                           .and_then([&] { return insert(rows); })
                           .and_then([&] { return *removed ? remove_up_to((*removed)->number) : Result<>(); })
                           .and_then([&] { return execute("COMMIT"); });
  if (!written) {
    (void)execute("ROLLBACK");
    return written;
  }
  if (first_ == 0) first_ = rows.front().number;
  if (*removed) first_ = (*removed)->number + 1;
  head_ = {rows.back().number, rows.back().hash};
  return {};
}

Result<> Store::insert(const std::vector<Row>& rows) const {
  const auto statement =
      prepare(database_.get(), "INSERT INTO entries (number, entry, hash) VALUES (?1, ?2, ?3)");
  for (const auto& row : rows) {
    bind_parameter(statement, 1, row.number);
    bind_parameter(statement, 2, row.text);
    bind_parameter(statement, 3, row.hash);
    if (::sqlite3_step(statement.get()) != SQLITE_DONE) return fail(trouble("cannot write"));
    ::sqlite3_reset(statement.get());
  }
  return {};
}

Result<std::optional<Head>> Store::superfluous(std::uint64_t newest) const {
  // A tenth at a time: not again with every entry.
  if (first_ == 0 || newest - first_ < kept_ + kept_ / 10) return std::nullopt;
  const auto statement =
      prepare(database_.get(), "SELECT number, entry, hash FROM entries WHERE number = ?1");
  bind_parameter(statement, 1, newest - kept_);
  const int status = ::sqlite3_step(statement.get());
  if (status == SQLITE_ROW) {
    auto row = row_of(statement);
    return Head{row.number, std::move(row.hash)};
  }
  // Somebody has removed it already, and is found out for that another time.
  if (status == SQLITE_DONE) return std::nullopt;
  return fail(trouble("cannot read"));
}

Result<> Store::remove_up_to(std::uint64_t number) const {
  const auto statement = prepare(database_.get(), "DELETE FROM entries WHERE number <= ?1");
  bind_parameter(statement, 1, number);
  if (::sqlite3_step(statement.get()) != SQLITE_DONE) return fail(trouble("cannot shorten"));
  return {};
}

Result<> Store::backwards(std::uint64_t before, const std::string& word,
                          const std::function<bool(const Row&)>& look) const {
  const auto statement = prepare(
      database_.get(),
      "SELECT number, entry, hash FROM entries WHERE number < ?1 AND (?2 = '' OR instr(entry, ?2) > 0) "
      "ORDER BY number DESC");
  constexpr auto end = static_cast<std::uint64_t>(std::numeric_limits<sqlite3_int64>::max());
  bind_parameter(statement, 1, before == 0 || before > end ? end : before);
  bind_parameter(statement, 2, word);
  int status = ::sqlite3_step(statement.get());
  for (; status == SQLITE_ROW; status = ::sqlite3_step(statement.get())) {
    if (!look(row_of(statement))) return {};
  }
  if (status != SQLITE_DONE) return fail(trouble("cannot read"));
  return {};
}

Result<> Store::forwards(const std::function<void(const Row&)>& look) const {
  const auto statement = prepare(database_.get(), "SELECT number, entry, hash FROM entries ORDER BY number");
  int status = ::sqlite3_step(statement.get());
  for (; status == SQLITE_ROW; status = ::sqlite3_step(statement.get())) look(row_of(statement));
  if (status != SQLITE_DONE) return fail(trouble("cannot read"));
  return {};
}

Result<> Store::execute(const char* text) const {
  if (::sqlite3_exec(database_.get(), text, nullptr, nullptr, nullptr) == SQLITE_OK) return {};
  return fail(trouble("cannot write"));
}

Error Store::trouble(const std::string& what) const {
  return {ErrorCode::failed, what + " the audit trail: " + ::sqlite3_errmsg(database_.get()),
          "make room and check the permissions of the state folder (paths.state in migrated.toml)"};
}

}  // namespace vmigrate::audit
