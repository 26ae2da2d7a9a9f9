// A pair of daemons that moves VMs for years: what one migration has used is there for the next.
#include <chrono>
#include <filesystem>
#include <thread>

#include <gtest/gtest.h>
#include <malloc.h>
#include <sqlite3.h>

#include "scenario.hpp"

namespace vmigrate::migration {
namespace {

class EnduranceTest : public Scenario {
 protected:
  struct Used {
    std::ptrdiff_t descriptors = 0;
    std::ptrdiff_t heap = 0;
    std::ptrdiff_t promises = 0;
  };

  /// Of this process, which is both daemons.
  Used used() {
    // A migration's thread is joined when the next request comes; and who answers that goes a moment later.
    for (auto* host : {&a, &b}) EXPECT_TRUE(host->daemon().ping(other(*host).name));
    await_rest();
    a.forget();
    b.forget();
    world->forget_log();
    ::malloc_trim(0);
    const auto heap = ::mallinfo2();
    return {entries_of("/proc/self/fd"), static_cast<std::ptrdiff_t>(heap.uordblks + heap.hblkhd),
            promises_of(a) + promises_of(b)};
  }
  /// Far longer than any thread takes to end; reached only when one does not.
  void await_rest() const {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (entries_of("/proc/self/task") > at_rest_ && std::chrono::steady_clock::now() < deadline)
      std::this_thread::yield();
    EXPECT_EQ(entries_of("/proc/self/task"), at_rest_) << "threads that do not end";
  }
  static std::ptrdiff_t entries_of(const std::string& folder) {
    return std::distance(std::filesystem::directory_iterator(folder), {});
  }
  std::ptrdiff_t promises_of(const ScenarioHost& host) const {
    sqlite3* database = nullptr;
    std::ptrdiff_t count = 0;
    EXPECT_EQ(::sqlite3_open((folder_ + "/" + host.name + ".db").c_str(), &database), SQLITE_OK);
    const auto take = [](void* to, int, char** values, char**) {
      *static_cast<std::ptrdiff_t*>(to) = std::stol(values[0]);
      return 0;
    };
    EXPECT_EQ(::sqlite3_exec(database, "SELECT count(*) FROM promises", take, &count, nullptr), SQLITE_OK);
    ::sqlite3_close(database);
    return count;
  }
  /// There and back, and once in a while one that is refused, cancelled or fails on its way.
  void move(int number) {
    auto& from = number % 2 == 0 ? a : b;
    auto& to = other(from);
    if (number % 10 == 3) {
      to.hypervisor.script().fail(hypervisor::FakeStep::check_incoming,
                                  {ErrorCode::refused, "no bridge", ""});
      EXPECT_EQ(from.await_end(start(from, to)).phase, Phase::failed);
    }
    if (number % 10 == 6) {
      to.hypervisor.script().fail(hypervisor::FakeStep::load, {ErrorCode::failed, "it cannot be loaded", ""});
      EXPECT_EQ(from.await_end(start(from, to)).phase, Phase::failed);
    }
    expect_moves(from, to);
  }

 private:
  const std::ptrdiff_t at_rest_ = entries_of("/proc/self/task");
};

TEST_F(EnduranceTest, TwoHundredMigrationsInARowTakeNoMoreThanTwenty) {
  constexpr int warm = 20;
  constexpr int all = 200;
  for (int i = 0; i < warm; ++i) move(i);
  const auto before = used();
  for (int i = warm; i < all; ++i) move(i);
  const auto after = used();
  RecordProperty("heap", std::to_string(after.heap - before.heap));
  EXPECT_EQ(after.descriptors, before.descriptors);
  // Half a KiB a migration would be a leak; the journal's cache of its own file is not one.
  EXPECT_LT(after.heap - before.heap, 64 << 10) << before.heap << " -> " << after.heap;
  // A record of each migration that the other host may still ask about, failed ones; and each VM's newest.
  EXPECT_LT(after.promises - before.promises, 40) << before.promises << " -> " << after.promises;
}

}  // namespace
}  // namespace vmigrate::migration
