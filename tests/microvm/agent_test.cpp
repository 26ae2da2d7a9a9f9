#include "microvm/agent.hpp"

#include <csignal>
#include <filesystem>
#include <functional>
#include <thread>

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "microvm/standby.hpp"
#include "vmm/sockets.hpp"

namespace vmigrate::microvm {
namespace {

using testing::HasSubstr;

constexpr int kPatience = 60'000;  // milliseconds

/// `migrated`, as far as one VMM sees it.
class Daemon {
 public:
  explicit Daemon(const std::string& path) : listener_(std::move(*vmm::Listener::create(path))) {}

  /// The next VMM that registers is welcomed.
  vmm::Hello welcome() {
    connection_ = std::move(*listener_.accept());
    frames_ = {};
    const auto hello = next();
    vmm::ToVmm message;
    message.mutable_welcome();
    EXPECT_TRUE(vmm::write_message(connection_.get(), message));
    return hello.hello();
  }
  void ask(vmm::Request request) {
    request.set_number(++number_);
    vmm::ToVmm message;
    *message.mutable_request() = std::move(request);
    EXPECT_TRUE(vmm::write_message(connection_.get(), message));
  }
  /// The next answer, past what is told meanwhile.
  vmm::Reply reply() {
    for (;;) {
      const auto message = next();
      if (message.has_reply() || !connection_) return message.reply();
    }
  }
  vmm::Reply describe() {
    vmm::Request request;
    request.mutable_describe();
    ask(std::move(request));
    return reply();
  }
  void hang_up() { connection_.reset(); }

 private:
  vmm::FromVmm next() {
    for (bool open = true;;) {
      auto message = frames_.next<vmm::FromVmm>();
      if (message && *message) return **message;
      pollfd wanted{connection_.get(), POLLIN, 0};
      if (!message || !open || ::poll(&wanted, 1, kPatience) != 1) {
        ADD_FAILURE() << "the VMM says nothing";
        connection_.reset();
        return {};
      }
      const auto read = frames_.read_available(connection_.get());
      open = read && *read;
    }
  }

  vmm::Listener listener_;
  FileDescriptor connection_;
  vmm::Frames frames_;
  std::uint64_t number_ = 0;
};

/// A VMM's process.
class Child {
 public:
  explicit Child(const std::function<int()>& run) : pid_(::fork()) {
    if (pid_ != 0) return;
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    ::close_range(STDERR_FILENO + 1, ~0U, 0);  // a connection ends when the test ends it
    std::_Exit(run());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
  }

 private:
  pid_t pid_;
};

class Agents : public testing::Test {
 protected:
  Agents() {
    std::string pattern = "/tmp/vmigrate-agent-XXXXXX";
    folder_ = ::mkdtemp(pattern.data());
  }
  ~Agents() override { std::filesystem::remove_all(folder_); }
  void SetUp() override {
    const FileDescriptor kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm) GTEST_SKIP() << "/dev/kvm does not open here";
  }

  std::string path(const std::string& name) const { return folder_ + "/" + name; }
  AgentSettings settings(const std::string& host) const { return {path(host), folder_}; }
  static std::unique_ptr<VirtualMachine> make_vm() {
    Configuration configuration;
    configuration.memory = memory_with_hole(std::uint64_t{16} << 20);
    auto vm = VirtualMachine::create(configuration);
    EXPECT_TRUE(vm) << vm.error().message;
    const auto file = load_file(VMIGRATE_GUESTS "/memory_checker");
    EXPECT_TRUE(file);
    const auto image = read_image(*file);
    EXPECT_TRUE((*vm)->boot(*image, 256, 100));
    return std::move(*vm);
  }

  /// One that has a VM, and one that waits for it.
  std::unique_ptr<Child> start_vm(const std::string& host) const {
    return std::make_unique<Child>([&] {
      return Agent(settings(host), Identity{VmId::random(), "tiny"}, make_vm()).serve() ? 0 : 1;
    });
  }
  std::unique_ptr<Child> start_waiting(const std::string& host) const {
    return std::make_unique<Child>([&] { return Agent(settings(host), [] {}).serve() ? 0 : 1; });
  }

  std::string folder_;
};

/// Carries one VM's stream and its answers between two VMMs, as two daemons do.
class Carrier {
 public:
  Carrier(const std::string& from, const std::string& to)
      : from_(std::move(*vmm::Listener::create(from))), to_(std::move(*vmm::Listener::create(to))) {
    thread_ = std::jthread([this] {
      const auto source = from_.accept();
      const auto destination = to_.accept();
      const std::jthread back([&] { carry(destination->get(), source->get()); });
      carry(source->get(), destination->get());
    });
  }

 private:
  static void carry(int from, int to) {
    std::vector<std::byte> buffer(1 << 18);
    for (;;) {
      const auto count = ::recv(from, buffer.data(), buffer.size(), 0);
      if (count <= 0 || ::send(to, buffer.data(), static_cast<std::size_t>(count), MSG_NOSIGNAL) != count)
        break;
    }
    ::shutdown(to, SHUT_WR);
  }
  vmm::Listener from_;
  vmm::Listener to_;
  std::jthread thread_;
};

vmm::Request sending(const std::string& socket) {
  vmm::Request request;
  request.mutable_send()->set_socket(socket);
  request.mutable_send()->set_max_pause_ms(300);
  return request;
}

/// One hop of a VM between two VMMs; both stand still afterwards.
void carry(Daemon& source, Daemon& destination, const std::string& folder) {
  vmm::Request create;
  *create.mutable_create()->mutable_description() = source.describe().description();
  destination.ask(create);
  ASSERT_FALSE(destination.reply().has_error());
  const Carrier carrier(folder + "/from", folder + "/to");
  vmm::Request receive;
  receive.mutable_receive()->set_socket(folder + "/to");
  destination.ask(receive);
  source.ask(sending(folder + "/from"));
  const auto sent = source.reply();
  EXPECT_FALSE(sent.has_error()) << sent.error().message();
  const auto received = destination.reply();
  EXPECT_FALSE(received.has_error()) << received.error().message();
}

TEST_F(Agents, APausedVmStaysPausedFromHostToHost) {
  Daemon a(path("a"));
  Daemon b(path("b"));
  Daemon c(path("c"));
  const auto vm = start_vm("a");
  const auto first = start_waiting("b");
  const auto second = start_waiting("c");
  for (auto* daemon : {&a, &b, &c}) daemon->welcome();
  vmm::Request pause;
  pause.mutable_pause();
  vmm::Request finish;
  finish.mutable_finish();
  vmm::Request resume;
  resume.mutable_resume();
  a.ask(pause);
  EXPECT_FALSE(a.reply().has_error());
  // Whoever sends it on says by that that it is its own: nobody resumes it in between.
  for (const auto& [source, destination] : {std::pair(&a, &b), std::pair(&b, &c)}) {
    EXPECT_EQ(source->describe().state(), vmm::PAUSED);
    carry(*source, *destination, folder_);
    EXPECT_EQ(source->describe().state(), vmm::PAUSED);
    source->ask(finish);
    EXPECT_FALSE(source->reply().has_error());
    EXPECT_EQ(destination->describe().state(), vmm::PAUSED);
  }
  c.ask(resume);
  EXPECT_FALSE(c.reply().has_error());
  EXPECT_EQ(c.describe().state(), vmm::RUNNING);
}

TEST_F(Agents, APausedVmWhoseMoveHasFailedIsStillPaused) {
  Daemon daemon(path("a"));
  const auto vm = start_vm("a");
  daemon.welcome();
  vmm::Request pause;
  pause.mutable_pause();
  daemon.ask(pause);
  EXPECT_FALSE(daemon.reply().has_error());
  daemon.ask(sending(path("nobody")));
  EXPECT_TRUE(daemon.reply().has_error());
  EXPECT_EQ(daemon.describe().state(), vmm::PAUSED);
}

TEST_F(Agents, WhatIsForASendIsRefusedWhenThereIsNone) {
  Daemon daemon(path("a"));
  const auto vm = start_vm("a");
  daemon.welcome();
  vmm::Request slow;
  slow.mutable_slow_down()->set_percent(50);
  daemon.ask(slow);
  EXPECT_THAT(daemon.reply().error().message(), HasSubstr("not being sent"));
  vmm::Request allow;
  allow.mutable_allow_pause()->set_max_pause_ms(1000);
  daemon.ask(allow);
  EXPECT_THAT(daemon.reply().error().message(), HasSubstr("not being sent"));
  EXPECT_EQ(daemon.describe().state(), vmm::RUNNING);
}

class Standby : public Agents {};

TEST_F(Standby, ThereIsANextOneHoweverSoonTheLastOneEnds) {
  Identity identity{VmId::random(), "tiny"};
  const auto description = describe(*make_vm(), identity);
  ASSERT_TRUE(description);
  Daemon daemon(path("a"));
  const Child standby([&] { return stand_by(settings("a")); });
  for (int i = 0; i < 30 && !HasFailure(); ++i) {
    EXPECT_EQ(daemon.welcome().vm(), "");
    vmm::Request create;
    *create.mutable_create()->mutable_description() = *description;
    daemon.ask(create);
    EXPECT_FALSE(daemon.reply().has_error());
    daemon.hang_up();  // before it was received: the process ends at once
  }
}

}  // namespace
}  // namespace vmigrate::microvm
