#include "base/threads.hpp"

#include <condition_variable>
#include <thread>

#include "base/thread_name.hpp"

namespace vmigrate {
namespace {

class SystemThread : public Thread {
 public:
  SystemThread(std::string name, std::function<void()> work)
      : thread_([name = std::move(name), work = std::move(work)] {
          name_this_thread(name);
          work();
        }) {}

 private:
  std::jthread thread_;
};

class SystemCondition : public Condition {
 public:
  bool wait_until(std::unique_lock<std::mutex>& lock, MonotonicTime deadline) override {
    return changed_.wait_until(lock, deadline) == std::cv_status::no_timeout;
  }
  void notify_all() override { changed_.notify_all(); }
  MonotonicTime now() const override { return std::chrono::steady_clock::now(); }

 private:
  std::condition_variable changed_;
};

}  // namespace

std::unique_ptr<Thread> SystemThreads::start(std::string name, std::function<void()> work) {
  return std::make_unique<SystemThread>(std::move(name), std::move(work));
}

std::unique_ptr<Condition> SystemThreads::make_condition() {
  return std::make_unique<SystemCondition>();
}

}  // namespace vmigrate
