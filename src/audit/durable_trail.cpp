#include "audit/durable_trail.hpp"

#include <utility>

#include <spdlog/spdlog.h>

#include "base/thread_name.hpp"

namespace vmigrate::audit {
namespace {

// While nothing can be written. Some hundred bytes each.
constexpr std::size_t kMostWaiting = 1000;
// How often counts whose time is over are looked for, and writing is tried again.
constexpr std::chrono::seconds kRound{10};
constexpr const char* kHeadWord = R"("action":"head")";

Entry gap_entry(std::uint64_t lost) {
  Entry entry;
  entry.action = "gap";
  entry.result = "lost";
  entry.reason = "the trail could not be written for so long that entries were lost";
  entry.count = lost;
  return entry;
}

bool fits(const Entry& entry, const Filter& filter) {
  if (entry.time < filter.since) return false;
  if (!filter.vm.empty() && entry.vm != filter.vm && entry.vm_id != filter.vm) return false;
  return filter.user.empty() || is_user(entry, filter.user);
}

}  // namespace

DurableTrail::DurableTrail(std::string path, const Clock& clock, std::uint64_t kept)
    : path_(std::move(path)), clock_(clock), kept_(kept) {
  {
    const std::lock_guard file(store_mutex_);
    if (auto opened = open_store(); !opened) alarm(opened.error());
  }
  thread_ = std::thread([this] { run(); });
}

DurableTrail::~DurableTrail() {
  close();
}

void DurableTrail::close() {
  {
    const std::lock_guard lock(mutex_);
    if (std::exchange(closed_, true)) return;
    for (auto& summary : limiter_.all()) enqueue(std::move(summary));
    wake_.notify_all();
  }
  thread_.join();
}

// --- Writing

Result<> DurableTrail::open_store() {
  if (store_) return {};
  auto store = Store::open(path_, kept_);
  if (!store) return fail(store.error());
  store_ = std::move(*store);
  const std::lock_guard lock(mutex_);
  if (store_->head().number > 0) head_ = store_->head();
  return {};
}

void DurableTrail::alarm(const Error& why) {
  const std::lock_guard lock(mutex_);
  if (!trouble_) spdlog::error("{}; no migration begins until it can be written", why.message);
  trouble_ = why;
}

Result<> DurableTrail::record(Entry entry) {
  return write(prepared(std::move(entry)));
}

bool DurableTrail::note(Entry entry, Keep keep) {
  entry = prepared(std::move(entry));
  const std::lock_guard lock(mutex_);
  if (closed_ || !limiter_.admit(entry, keep, clock_.now())) return false;
  enqueue(std::move(entry));
  wake_.notify_all();
  return true;
}

void DurableTrail::enqueue(Entry entry) {
  // The oldest ones say how it began.
  if (waiting_.size() >= kMostWaiting) {
    ++lost_;
    return;
  }
  waiting_.push_back(prepared(std::move(entry)));
}

void DurableTrail::run() {
  name_this_thread("audit");
  std::unique_lock lock(mutex_);
  while (!closed_) {
    // What could not be written is tried again after a round, not at once.
    if (trouble_)
      wake_.wait_for(lock, kRound, [this] { return closed_; });
    else if (waiting_.empty())
      wake_.wait_for(lock, kRound);
    for (auto& summary : limiter_.due(clock_.now())) enqueue(std::move(summary));
    lock.unlock();
    (void)write_waiting();
    lock.lock();
  }
  lock.unlock();
  (void)write_waiting();
}

Result<> DurableTrail::write(std::optional<Entry> last) {
  const std::lock_guard file(store_mutex_);
  std::vector<Entry> entries;
  std::uint64_t lost = 0;
  {
    const std::lock_guard lock(mutex_);
    entries.assign(waiting_.begin(), waiting_.end());
    lost = lost_;
  }
  const auto count = entries.size();
  if (lost > 0) entries.push_back(prepared(gap_entry(lost)));
  if (last) entries.push_back(std::move(*last));
  if (entries.empty()) return {};
  const auto written = open_store().and_then([&] { return store_->append(std::move(entries)); });
  if (!written) {
    alarm(written.error());
    return written;
  }
  const std::lock_guard lock(mutex_);
  if (trouble_) spdlog::warn("the audit trail can be written again");
  trouble_.reset();
  // Others may have come behind them since.
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<std::ptrdiff_t>(count));
  lost_ -= lost;
  head_ = store_->head();
  return {};
}

Entry DurableTrail::prepared(Entry entry) const {
  cut_texts(entry);
  if (entry.time == WallTime{}) entry.time = std::chrono::floor<std::chrono::milliseconds>(clock_.wall());
  return entry;
}

// --- Reading

std::optional<Head> DurableTrail::head() {
  const std::lock_guard lock(mutex_);
  return head_;
}

std::optional<Error> DurableTrail::trouble() {
  const std::lock_guard lock(mutex_);
  return trouble_;
}

Result<std::vector<Head>> DurableTrail::heads_of(const std::string& peer) {
  std::vector<Head> heads;
  const std::lock_guard file(store_mutex_);
  if (auto opened = open_store(); !opened) return fail(opened.error());
  const auto read = store_->backwards(0, kHeadWord, [&](const Row& row) {
    const auto entry = parse_entry(row.text);
    if (entry && entry->action == "head" && entry->peer == peer && entry->head && is_hash(entry->head->hash))
      heads.push_back(*entry->head);
    return heads.size() < kMostHeads;
  });
  if (!read) return fail(read.error());
  return heads;
}

Result<std::vector<ShownEntry>> DurableTrail::list(const Filter& filter, std::uint64_t before,
                                                   std::size_t most) {
  // What cannot be written is shown when it is.
  (void)write_waiting();
  std::vector<ShownEntry> entries;
  const std::lock_guard file(store_mutex_);
  if (auto opened = open_store(); !opened) return fail(opened.error());
  const auto read = store_->backwards(before, "", [&](const Row& row) {
    auto entry = parse_entry(row.text);
    if (!entry) {
      Entry damaged;
      damaged.number = row.number;
      damaged.action = "damaged";
      damaged.reason = entry.error().message;
      entry = damaged;
    } else if (!fits(*entry, filter)) {
      return true;
    }
    entries.push_back({std::move(*entry), is_hash(row.hash) ? row.hash : ""});
    return entries.size() < most;
  });
  if (!read) return fail(read.error());
  return entries;
}

Result<Verification> DurableTrail::verify(const std::vector<ChainCheck::Witnessed>& witnessed) {
  (void)write_waiting();
  ChainCheck check;
  for (const auto& head : witnessed) check.expect(head);
  const std::lock_guard file(store_mutex_);
  if (auto opened = open_store(); !opened) return fail(opened.error());
  if (auto read = store_->forwards([&](const Row& row) { check.add(row); }); !read) return fail(read.error());
  check.finish(store_->head().number == 0 ? std::nullopt : std::optional(store_->head()));
  return Verification{check.findings(), check.entries(), check.head(), check.agreeing(), check.too_old()};
}

}  // namespace vmigrate::audit
