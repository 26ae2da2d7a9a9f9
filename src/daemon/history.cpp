#include "daemon/history.hpp"

#include <algorithm>
#include <mutex>

#include <spdlog/spdlog.h>

#include "base/sqlite.hpp"

namespace vmigrate::daemon {
namespace {

// About a year of a busy host; a few megabytes.
constexpr const char* kSchema = R"sql(
  CREATE TABLE IF NOT EXISTS migrations (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL,
    role INTEGER NOT NULL,
    vm TEXT NOT NULL,
    vm_id TEXT NOT NULL,
    migration BLOB NOT NULL,
    UNIQUE (id, role)
  ) STRICT;
  CREATE TRIGGER IF NOT EXISTS forget AFTER INSERT ON migrations BEGIN
    DELETE FROM migrations WHERE number <= NEW.number - 10000;
  END;
)sql";

constexpr std::uint32_t kMostRows = 10'000;
constexpr int kShortestId = 6;

using sqlite::bind_parameter;
using sqlite::Database;
using sqlite::Statement;

class SqliteHistory : public History {
 public:
  explicit SqliteHistory(Database database) : database_(std::move(database)) {}

  Result<> add(const control::Migration& migration) override {
    const std::lock_guard lock(mutex_);
    const Statement statement = prepare(
        "INSERT OR REPLACE INTO migrations (id, role, vm, vm_id, migration) VALUES (?1, ?2, ?3, ?4, ?5)");
    const std::string blob = migration.SerializeAsString();
    bind_parameter(statement, 1, migration.id());
    ::sqlite3_bind_int(statement.get(), 2, migration.role());
    bind_parameter(statement, 3, migration.vm());
    bind_parameter(statement, 4, migration.vm_id());
    ::sqlite3_bind_blob(statement.get(), 5, blob.data(), static_cast<int>(blob.size()), SQLITE_STATIC);
    if (::sqlite3_step(statement.get()) != SQLITE_DONE) return trouble("cannot write");
    return {};
  }

  Result<std::vector<control::Migration>> list(std::uint32_t limit, const std::string& vm) override {
    const std::lock_guard lock(mutex_);
    const Statement statement = prepare(
        "SELECT migration FROM migrations WHERE ?1 = '' OR vm = ?1 OR vm_id = ?1 ORDER BY number DESC LIMIT "
        "?2");
    bind_parameter(statement, 1, vm);
    ::sqlite3_bind_int64(statement.get(), 2, std::min(limit == 0 ? kMostRows : limit, kMostRows));
    return read(statement);
  }

  // All of the history at once would be tens of megabytes.
  Result<std::optional<control::Migration>> find(const std::string& vm_or_id) override {
    const std::lock_guard lock(mutex_);
    const Statement statement = prepare(
        "SELECT migration FROM migrations WHERE vm = ?1 OR vm_id = ?1"
        " OR (length(?1) >= ?2 AND substr(id, 1, length(?1)) = ?1) ORDER BY number DESC LIMIT 1");
    bind_parameter(statement, 1, vm_or_id);
    ::sqlite3_bind_int(statement.get(), 2, kShortestId);
    auto found = read(statement);
    if (!found) return fail(found.error());
    if (found->empty()) return std::nullopt;
    return std::move(found->front());
  }

 private:
  Result<std::vector<control::Migration>> read(const Statement& statement) {
    std::vector<control::Migration> migrations;
    std::size_t unreadable = 0;
    int status = ::sqlite3_step(statement.get());
    for (; status == SQLITE_ROW; status = ::sqlite3_step(statement.get())) {
      control::Migration migration;
      const void* blob = ::sqlite3_column_blob(statement.get(), 0);
      if (migration.ParseFromArray(blob, ::sqlite3_column_bytes(statement.get(), 0))) {
        migrations.push_back(std::move(migration));
      } else {
        ++unreadable;
      }
    }
    if (unreadable > 0) spdlog::warn("{} entries of the history cannot be read and are left out", unreadable);
    if (status != SQLITE_DONE) return trouble("cannot read");
    return migrations;
  }

  Statement prepare(const char* text) { return sqlite::prepare(database_.get(), text); }

  tl::unexpected<Error> trouble(const std::string& what) {
    return fail(ErrorCode::failed, what + " the history: " + ::sqlite3_errmsg(database_.get()));
  }

  std::mutex mutex_;
  Database database_;
};

}  // namespace

bool is_about(const control::Migration& migration, const std::string& vm_or_id) {
  return migration.vm() == vm_or_id || migration.vm_id() == vm_or_id ||
         (vm_or_id.size() >= kShortestId && migration.id().starts_with(vm_or_id));
}

Result<std::unique_ptr<History>> open_history(const std::string& path) {
  auto [database, good] = sqlite::open(path, kSchema);
  if (!good) {
    return fail(
        ErrorCode::failed, path + ": cannot open the history: " + ::sqlite3_errmsg(database.get()),
        "it is for people only: move it away (with its -wal and -shm files) and start migrated again");
  }
  return std::make_unique<SqliteHistory>(std::move(database));
}

}  // namespace vmigrate::daemon
