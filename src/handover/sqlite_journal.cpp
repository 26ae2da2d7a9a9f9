#include <mutex>

#include "base/sqlite.hpp"
#include "handover/journal.hpp"

namespace vmigrate::handover {
namespace {

constexpr const char* kSchema = R"sql(
  CREATE TABLE IF NOT EXISTS promises (
    migration TEXT NOT NULL,
    role INTEGER NOT NULL,
    vm TEXT NOT NULL,
    vm_name TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    peer TEXT NOT NULL,
    state TEXT NOT NULL,
    runs INTEGER NOT NULL,
    keeps_definition INTEGER NOT NULL,
    result BLOB NOT NULL,
    vmm TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (migration, role)
  ) STRICT;
  CREATE INDEX IF NOT EXISTS promises_of_vm ON promises (vm, epoch);
)sql";

constexpr const char* kColumns =
    "migration, role, vm, vm_name, epoch, peer, state, runs, keeps_definition, result, vmm";

// Of journals that were begun before a column was there.
constexpr const char* kHasVmm = "SELECT 1 FROM pragma_table_info('promises') WHERE name = 'vmm'";
constexpr const char* kAddVmm = "ALTER TABLE promises ADD COLUMN vmm TEXT NOT NULL DEFAULT ''";

using sqlite::bind_parameter;
using sqlite::Database;
using sqlite::Statement;
using sqlite::text_column;

tl::unexpected<Error> journal_error(sqlite3* database, std::string_view what) {
  return fail(ErrorCode::failed, std::string(what) + " the journal: " + ::sqlite3_errmsg(database),
              "make room and check the permissions of the state folder (paths.state in migrated.toml)");
}

Result<Record> read_record(sqlite3_stmt* row) {
  Record record;
  auto migration = MigrationId::parse(text_column(row, 0));
  auto vm = VmId::parse(text_column(row, 2));
  if (!migration || !vm) return fail(ErrorCode::failed, "the journal has a row without valid identifiers");
  record.migration = *migration;
  record.role =
      ::sqlite3_column_int(row, 1) == static_cast<int>(Role::source) ? Role::source : Role::destination;
  record.vm = *vm;
  record.vm_name = text_column(row, 3);
  record.epoch = static_cast<std::uint64_t>(::sqlite3_column_int64(row, 4));
  record.peer = text_column(row, 5);
  record.state = text_column(row, 6);
  record.runs = ::sqlite3_column_int(row, 7) != 0;
  record.keeps_definition = ::sqlite3_column_int(row, 8) != 0;
  const auto* result = static_cast<const char*>(::sqlite3_column_blob(row, 9));
  if (result != nullptr)
    record.result.assign(result, static_cast<std::size_t>(::sqlite3_column_bytes(row, 9)));
  record.vmm = text_column(row, 10);
  return record;
}

Result<std::optional<Record>> first_of(Result<std::vector<Record>> rows) {
  if (!rows) return fail(rows.error());
  if (rows->empty()) return std::nullopt;
  return std::move(rows->front());
}

class SqliteJournal : public Journal {
 public:
  explicit SqliteJournal(Database database) : database_(std::move(database)) {}

  Result<> write(const Record& record) override {
    const std::lock_guard lock(mutex_);
    auto statement = prepare(std::string("INSERT OR REPLACE INTO promises (") + kColumns +
                             ") VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)");
    if (!statement) return fail(statement.error());
    sqlite3_stmt* row = statement->get();
    bind_parameter(*statement, 1, record.migration.text());
    ::sqlite3_bind_int(row, 2, static_cast<int>(record.role));
    bind_parameter(*statement, 3, record.vm.text());
    bind_parameter(*statement, 4, record.vm_name);
    ::sqlite3_bind_int64(row, 5, static_cast<sqlite3_int64>(record.epoch));
    bind_parameter(*statement, 6, record.peer);
    bind_parameter(*statement, 7, record.state);
    ::sqlite3_bind_int(row, 8, record.runs ? 1 : 0);
    ::sqlite3_bind_int(row, 9, record.keeps_definition ? 1 : 0);
    ::sqlite3_bind_blob(row, 10, record.result.data(), static_cast<int>(record.result.size()), SQLITE_STATIC);
    bind_parameter(*statement, 11, record.vmm);
    if (::sqlite3_step(row) != SQLITE_DONE) return journal_error(database_.get(), "cannot write");
    // Only where the VM runs for certain: what is about to come may be refused, and then what was here before
    // it says whose the VM is.
    if (record.state == "preparing" || record.state == "running") forget_before(record);
    return {};
  }

  Result<std::optional<Record>> find(const MigrationId& migration, Role role) override {
    const std::lock_guard lock(mutex_);
    auto statement =
        prepare(std::string("SELECT ") + kColumns + " FROM promises WHERE migration = ?1 AND role = ?2");
    if (!statement) return fail(statement.error());
    bind_parameter(*statement, 1, migration.text());
    ::sqlite3_bind_int(statement->get(), 2, static_cast<int>(role));
    return first_of(read_all(statement->get()));
  }

  Result<std::vector<Record>> unfinished() override {
    const std::lock_guard lock(mutex_);
    auto statement = prepare(
        std::string("SELECT ") + kColumns +
        " FROM promises WHERE state NOT IN ('confirmed', 'reclaimed', 'running', 'done', 'refused')"
        // What a later migration of the VM went on from is over, whether its end could be written or not.
        " AND NOT EXISTS (SELECT 1 FROM promises AS later WHERE later.vm = promises.vm"
        " AND later.epoch > promises.epoch)"
        " ORDER BY epoch");
    if (!statement) return fail(statement.error());
    return read_all(statement->get());
  }

  Result<std::vector<Record>> of_vm(const VmId& vm) override {
    const std::lock_guard lock(mutex_);
    auto statement =
        prepare(std::string("SELECT ") + kColumns + " FROM promises WHERE vm = ?1 ORDER BY epoch DESC");
    if (!statement) return fail(statement.error());
    bind_parameter(*statement, 1, vm.text());
    return read_all(statement->get());
  }

 private:
  /// A VM that moves to and fro for years must not fill the disk. Nobody asks any more about an earlier
  /// migration of it that both hosts have brought to its end; one that the other host may ask about stays.
  /// What is not forgotten now is with the next one.
  void forget_before(const Record& record) {
    auto statement = prepare(
        "DELETE FROM promises WHERE vm = ?1 AND epoch < ?2 AND state IN ('confirmed', 'reclaimed', 'done')");
    if (!statement) return;
    bind_parameter(*statement, 1, record.vm.text());
    ::sqlite3_bind_int64(statement->get(), 2, static_cast<sqlite3_int64>(record.epoch));
    ::sqlite3_step(statement->get());
  }

  Result<Statement> prepare(const std::string& text) {
    auto statement = sqlite::prepare(database_.get(), text);
    if (!statement) return journal_error(database_.get(), "cannot use");
    return statement;
  }

  Result<std::vector<Record>> read_all(sqlite3_stmt* statement) {
    std::vector<Record> records;
    int status = ::sqlite3_step(statement);
    for (; status == SQLITE_ROW; status = ::sqlite3_step(statement)) {
      auto record = read_record(statement);
      if (!record) return fail(record.error());
      records.push_back(std::move(*record));
    }
    if (status != SQLITE_DONE) return journal_error(database_.get(), "cannot read");
    return records;
  }

  std::mutex mutex_;
  Database database_;
};

bool add_column(sqlite3* database) {
  bool has_vmm = false;
  const auto note = [](void* has, int, char**, char**) {
    *static_cast<bool*>(has) = true;
    return 0;
  };
  if (::sqlite3_exec(database, kHasVmm, note, &has_vmm, nullptr) != SQLITE_OK) return false;
  return has_vmm || ::sqlite3_exec(database, kAddVmm, nullptr, nullptr, nullptr) == SQLITE_OK;
}

}  // namespace

Result<std::unique_ptr<Journal>> open_journal(const std::string& path) {
  auto [database, good] = sqlite::open(path, kSchema);
  if (!good || !add_column(database.get())) {
    return fail(journal_error(database.get(), "cannot open").value().in(path));
  }
  return std::make_unique<SqliteJournal>(std::move(database));
}

}  // namespace vmigrate::handover
