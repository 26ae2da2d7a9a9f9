#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "audit/limiter.hpp"
#include "audit/store.hpp"
#include "audit/trail.hpp"
#include "base/clock.hpp"

namespace vmigrate::audit {

/// Which entries somebody wants to see.
struct Filter {
  WallTime since{};
  std::string vm{};    ///< name or UUID; empty: of any
  std::string user{};  ///< name or number; empty: of anybody
};

struct ShownEntry {
  Entry entry;
  std::string hash;
};

/// What verify() has found out.
struct Verification {
  std::vector<std::string> findings;  ///< none: everything is as it was written
  std::uint64_t entries = 0;
  std::optional<Head> head;
  std::uint64_t witnessed = 0;  ///< heads noted by other hosts that agree
  std::uint64_t too_old = 0;    ///< and those of entries that were removed for their age
};

/// The trail in its file. What is noted is written by a thread of its own, "audit".
class DurableTrail : public Trail {
 public:
  /// A file that cannot be opened is one that cannot be written: it is tried again, and told of by trouble().
  DurableTrail(std::string path, const Clock& clock, std::uint64_t kept = Store::kKept);
  /// close()
  ~DurableTrail() override;
  DurableTrail(const DurableTrail&) = delete;
  DurableTrail& operator=(const DurableTrail&) = delete;

  Result<> record(Entry entry) override;
  bool note(Entry entry, Keep keep) override;
  std::optional<Head> head() override;
  Result<std::vector<Head>> heads_of(const std::string& peer) override;

  /// Writes what waits, also what was only counted so far. Nothing is noted any more. Call as often as you
  /// like.
  void close();

  /// The entries before this number (0: from the end), the newest first, those of the filter, at most `most`.
  /// All that was noted before is among them.
  Result<std::vector<ShownEntry>> list(const Filter& filter, std::uint64_t before, std::size_t most);
  /// Looks at all of it, and compares it with what other hosts have noted of it.
  Result<Verification> verify(const std::vector<ChainCheck::Witnessed>& witnessed);
  /// Why nothing can be written at the moment.
  std::optional<Error> trouble();

 private:
  void run();
  /// With the file's lock held.
  Result<> open_store();
  void alarm(const Error& why);
  void enqueue(Entry entry);
  /// Writes what waits and `last`, in one go. What cannot be written goes on waiting, but for `last`.
  Result<> write(std::optional<Entry> last);
  Result<> write_waiting() { return write(std::nullopt); }
  /// With its time, and no longer than it will be.
  Entry prepared(Entry entry) const;

  const std::string path_;
  const Clock& clock_;
  const std::uint64_t kept_;

  /// Held while the file is used; taken before the other one.
  std::mutex store_mutex_;
  std::unique_ptr<Store> store_;  ///< once it could be opened

  /// Never held while anybody waits for a disk.
  std::mutex mutex_;
  std::condition_variable wake_;
  Limiter limiter_;
  std::deque<Entry> waiting_;
  std::uint64_t lost_ = 0;  ///< of those that waited, since there were too many
  std::optional<Error> trouble_;
  std::optional<Head> head_;
  bool closed_ = false;
  std::thread thread_;
};

}  // namespace vmigrate::audit
