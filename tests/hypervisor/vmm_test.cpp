#include <chrono>
#include <filesystem>
#include <fstream>
#include <optional>
#include <thread>

#include <gmock/gmock.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/bounded_queue.hpp"
#include "fake_vmm.hpp"
#include "hypervisor/combined_hypervisor.hpp"
#include "hypervisor/fake.hpp"
#include "hypervisor/vmm_hypervisor.hpp"
#include "vmm/frames.hpp"
#include "vmm/sockets.hpp"

namespace vmigrate::hypervisor {
namespace {

using testing::HasSubstr;

constexpr std::chrono::seconds kPatience{20};

bool comes_true(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return false;
    std::this_thread::sleep_for(Milliseconds(5));
  }
  return true;
}

auto soon() {
  return std::chrono::steady_clock::now() + kPatience;
}

/// One host's daemon, as far as VMMs see it.
struct Host {
  Host() {
    std::string pattern = "/tmp/vmigrate-vmm-XXXXXX";
    folder = ::mkdtemp(pattern.data());
    start();
  }
  ~Host() {
    hypervisor.reset();
    std::filesystem::remove_all(folder);
  }

  void start() {
    const auto veto = [this](const VmId& vm) -> std::optional<Error> {
      if (vm != handed_over) return std::nullopt;
      return Error{ErrorCode::refused, "it was handed over", ""};
    };
    auto made = VmmHypervisor::create({socket(), folder + "/vmms", "hosta", veto, hello_patience});
    ASSERT_TRUE(made) << made.error().message;
    hypervisor = std::move(*made);
  }
  void stop() { hypervisor.reset(); }

  std::string socket() const { return folder + "/vmms.sock"; }
  std::string runtime(const std::string& name) const {
    std::filesystem::create_directories(folder + "/" + name);
    return folder + "/" + name;
  }
  DomainState state(const VmId& id) const {
    const auto state = hypervisor->state(id);
    return state ? *state : DomainState::unknown;
  }

  std::string folder;
  std::optional<VmId> handed_over;
  Milliseconds hello_patience{10'000};
  std::unique_ptr<VmmHypervisor> hypervisor;
};

class Vmms : public testing::Test {
 protected:
  /// A VM on the source, which has registered.
  std::unique_ptr<FakeVmm> add_vm(const std::string& name = "tiny") {
    auto vmm = std::make_unique<FakeVmm>(source_.socket(), id_.text(), name);
    EXPECT_TRUE(comes_true([&] { return source_.state(id_) == DomainState::running; }));
    return vmm;
  }
  DomainDescription describe() const { return *source_.hypervisor->describe(id_.text()); }

  Host source_;
  const VmId id_ = VmId::random();
};

TEST_F(Vmms, AreListedAndDescribed) {
  const auto vmm = add_vm();
  const auto list = source_.hypervisor->list();
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 1U);
  EXPECT_EQ(list->front().name, "tiny");
  EXPECT_EQ(list->front().state, DomainState::running);
  const auto domain = source_.hypervisor->describe("tiny");
  ASSERT_TRUE(domain);
  EXPECT_EQ(domain->id, id_);
  EXPECT_EQ(domain->vmm, FakeVmm::kKind);
  EXPECT_EQ(domain->memory, Bytes{FakeVmm::kSize});
  EXPECT_FALSE(domain->persistent);
  EXPECT_EQ(source_.hypervisor->describe("other").error().code, ErrorCode::not_found);
}

TEST_F(Vmms, AreGoneWithTheirProcesses) {
  const auto vmm = add_vm();
  vmm->kill();
  EXPECT_EQ(source_.state(id_), DomainState::absent);
  EXPECT_TRUE(source_.hypervisor->destroy(id_));
  EXPECT_TRUE(comes_true([&] { return std::filesystem::is_empty(source_.folder + "/vmms"); }));
}

TEST_F(Vmms, AreDestroyedForCertain) {
  const auto vmm = add_vm();
  ASSERT_TRUE(source_.hypervisor->destroy(id_));
  EXPECT_TRUE(vmm->has_ended());
  EXPECT_EQ(source_.state(id_), DomainState::absent);
  EXPECT_FALSE(source_.hypervisor->resume(id_));
}

TEST_F(Vmms, AreKnownToTheNextDaemonBeforeTheyComeBack) {
  const auto vmm = add_vm();
  source_.stop();
  ::kill(vmm->pid(), SIGSTOP);
  source_.start();
  // Not to be seen is not to be gone.
  EXPECT_FALSE(source_.hypervisor->state(id_));
  EXPECT_TRUE(source_.hypervisor->has(id_));
  EXPECT_EQ(source_.hypervisor->list()->front().state, DomainState::unknown);
  ::kill(vmm->pid(), SIGCONT);
  EXPECT_TRUE(comes_true([&] { return source_.state(id_) == DomainState::running; }));
}

TEST_F(Vmms, AreWelcomedBeforeTheyAreAsked) {
  const auto vmm = add_vm();
  for (int i = 0; i < 20; ++i) {
    source_.stop();
    source_.start();
    // It waits for the VMM, and asks as soon as that is there.
    EXPECT_EQ(source_.state(id_), DomainState::running);
  }
}

TEST_F(Vmms, ThatEndedWithoutADaemonAreGone) {
  const auto vmm = add_vm();
  source_.stop();
  vmm->kill();
  source_.start();
  EXPECT_EQ(source_.state(id_), DomainState::absent);
  EXPECT_TRUE(source_.hypervisor->list()->empty());
}

TEST_F(Vmms, AnUnreadableRecordIsNotOverlooked) {
  source_.stop();
  std::ofstream(source_.folder + "/vmms/" + id_.text()) << "what is this\n";
  const auto made = VmmHypervisor::create({source_.socket(), source_.folder + "/vmms", "hosta"});
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr(id_.text()));
}

TEST_F(Vmms, OneVmIsOneProcess) {
  const auto vmm = add_vm();
  FakeVmm second(source_.socket(), id_.text(), "tiny");
  FakeVmm same_name(source_.socket(), VmId::random().text(), "tiny");
  EXPECT_TRUE(comes_true([&] { return second.has_ended() && same_name.has_ended(); }));
  EXPECT_EQ(source_.state(id_), DomainState::running);
  EXPECT_EQ(source_.hypervisor->list()->size(), 1U);
}

TEST_F(Vmms, OfVmsThatWereHandedOverAreTurnedAway) {
  source_.handed_over = id_;
  FakeVmm stale(source_.socket(), id_.text(), "tiny");
  EXPECT_TRUE(comes_true([&] { return stale.has_ended(); }));
  EXPECT_FALSE(source_.hypervisor->has(id_));
}

TEST_F(Vmms, ThatAreOnRecordComeBackWhateverWasPromised) {
  const auto vmm = add_vm();
  source_.stop();
  source_.handed_over = id_;  // stopped, it waits for what becomes of that
  source_.start();
  EXPECT_EQ(source_.state(id_), DomainState::running);
  EXPECT_FALSE(vmm->has_ended());
}

TEST_F(Vmms, ASuccessorTakesThePlaceOfOneThatHasEnded) {
  auto vmm = add_vm();
  vmm->kill();
  vmm = add_vm();
  EXPECT_EQ(source_.hypervisor->list()->size(), 1U);
  EXPECT_FALSE(std::filesystem::is_empty(source_.folder + "/vmms"));
}

TEST_F(Vmms, WhatMakesNoSenseIsTurnedAway) {
  for (const std::string& bytes :
       {std::string("\xff\xff\xff\xff garbage"), std::string("\0\0\0\x02\xff\xff", 6)}) {
    const auto socket = vmm::connect(source_.socket());
    ASSERT_TRUE(socket);
    ASSERT_EQ(::send(socket->get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    char byte = 0;
    EXPECT_LE(::recv(socket->get(), &byte, 1, 0), 0);
  }
  const auto vmm = add_vm();
}

/// A connection that says nothing.
bool is_open(const FileDescriptor& socket) {
  char byte = 0;
  return ::recv(socket.get(), &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
}

TEST_F(Vmms, AreNotKeptOutByThoseThatSayNothing) {
  std::vector<FileDescriptor> silent;
  for (int i = 0; i < 200; ++i) silent.push_back(std::move(*vmm::connect(source_.socket())));
  const auto vmm = add_vm();
  EXPECT_EQ(source_.hypervisor->list()->size(), 1U);
  // Those that came last are still heard.
  EXPECT_TRUE(is_open(silent.back()));
}

TEST_F(Vmms, ThatSayNothingAreNotWaitedForForEver) {
  source_.stop();
  source_.hello_patience = Milliseconds(50);
  source_.start();
  const auto silent = vmm::connect(source_.socket());
  ASSERT_TRUE(silent);
  char byte = 0;
  EXPECT_EQ(::recv(silent->get(), &byte, 1, 0), 0);
}

TEST_F(Vmms, ThatHaveEndedAreNotAskedLibvirtAbout) {
  FakeHypervisor libvirt("hosta", std::make_shared<FakeWorld>());
  const Error down{ErrorCode::failed, "libvirtd is down", ""};
  for (const auto step : {FakeStep::state, FakeStep::destroy}) libvirt.script().fail(step, down, 100);
  CombinedHypervisor both(libvirt, *source_.hypervisor);
  const auto vmm = add_vm();
  EXPECT_EQ(*both.for_vms_of(FakeVmm::kKind).state(id_), DomainState::running);
  vmm->kill();
  EXPECT_EQ(*both.for_vms_of(FakeVmm::kKind).state(id_), DomainState::absent);
  EXPECT_TRUE(both.for_vms_of(FakeVmm::kKind).destroy(id_));
  // Of a VM about which nothing else is known libvirt has to say that it has it not.
  EXPECT_FALSE(both.for_vms_of("").state(id_));
}

/// A move between two hosts, wired without daemons.
class VmmMove : public Vmms {
 protected:
  void SetUp() override {
    vmm_ = add_vm();
    waiting_.emplace(destination_.socket(), "", "");
    domain_ = describe();
  }

  Result<> begin_incoming() {
    IncomingEvents events;
    events.prepared = [this] { prepared_.push(true); };
    events.failed = [this](const Error& error) { failed_.push(error); };
    auto move =
        destination_.hypervisor->begin_incoming({destination_.runtime("m"), domain_}, std::move(events));
    if (!move) return fail(move.error());
    incoming_ = std::move(*move);
    return {};
  }

  void begin_outgoing() {
    OutgoingEvents events;
    events.stream_connected = [this](FileDescriptor stream) { streams_.push(std::move(stream)); };
    events.finish_requested = [this](FinishCall call) { finish_.push(std::move(call)); };
    events.ended = [this](Result<> result) { ended_.push(std::move(result)); };
    options_.runtime_directory = source_.runtime("m");
    auto move = source_.hypervisor->begin_outgoing(domain_, options_, std::move(events));
    ASSERT_TRUE(move) << move.error().message;
    outgoing_ = std::move(*move);
    outgoing_->start();
  }

  /// The memory of the one into the other, which is loaded then; the source waits for what becomes of it.
  void carry() {
    ASSERT_TRUE(begin_incoming());
    begin_outgoing();
    ASSERT_TRUE(prepared_.pop_until(soon()));
    const auto from = streams_.pop_until(soon());
    ASSERT_TRUE(from);
    const auto to = incoming_->connect_stream();
    ASSERT_TRUE(to);
    std::array<char, 64> buffer;
    const auto count = ::recv(from->get(), buffer.data(), buffer.size(), 0);
    ASSERT_GT(count, 0);
    ASSERT_EQ(::send(to->get(), buffer.data(), static_cast<std::size_t>(count), MSG_NOSIGNAL), count);
    ASSERT_EQ(::send(from->get(), "!", 1, MSG_NOSIGNAL), 1);
    const auto call = finish_.pop_until(soon());
    ASSERT_TRUE(call);
    EXPECT_FALSE(call->cancelled);
    call_ = *call;
  }

  Host destination_;
  std::unique_ptr<FakeVmm> vmm_;
  std::optional<FakeVmm> waiting_;
  DomainDescription domain_;
  OutgoingOptions options_;
  FinishCall call_;
  BoundedQueue<bool> prepared_{8};
  BoundedQueue<Error> failed_{8};
  BoundedQueue<FileDescriptor> streams_{8};
  BoundedQueue<FinishCall> finish_{8};
  BoundedQueue<Result<>> ended_{8};
  std::unique_ptr<IncomingMove> incoming_;
  std::unique_ptr<OutgoingMove> outgoing_;
};

TEST_F(VmmMove, Succeeds) {
  EXPECT_TRUE(source_.hypervisor->check_outgoing(domain_)->empty());
  EXPECT_TRUE(destination_.hypervisor->check_incoming(domain_)->empty());
  carry();
  const auto answer = incoming_->finish(call_);
  ASSERT_TRUE(answer.loaded) << answer.reason;
  EXPECT_FALSE(answer.message.empty());
  // Loaded and stopped, on both hosts.
  EXPECT_EQ(source_.state(id_), DomainState::paused);
  EXPECT_EQ(destination_.state(id_), DomainState::paused);
  ASSERT_TRUE(destination_.hypervisor->resume(id_));
  ASSERT_TRUE(destination_.hypervisor->resume(id_));
  EXPECT_EQ(destination_.state(id_), DomainState::running);
  outgoing_->answer_finish(answer);
  const auto ended = ended_.pop_until(soon());
  ASSERT_TRUE(ended);
  EXPECT_TRUE(*ended);
  EXPECT_TRUE(vmm_->has_ended());
  EXPECT_EQ(source_.state(id_), DomainState::absent);
  incoming_.reset();
  EXPECT_EQ(destination_.state(id_), DomainState::running);
}

TEST_F(VmmMove, IsTakenBackWhenTheDestinationRefuses) {
  carry();
  ASSERT_TRUE(incoming_->discard());
  EXPECT_TRUE(comes_true([&] { return waiting_->has_ended(); }));
  EXPECT_EQ(destination_.state(id_), DomainState::absent);
  outgoing_->answer_finish({false, {}, "it was refused"});
  const auto ended = ended_.pop_until(soon());
  ASSERT_TRUE(ended);
  ASSERT_FALSE(*ended);
  EXPECT_EQ(ended->error().message, "it was refused");
  EXPECT_EQ(source_.state(id_), DomainState::running);
}

TEST_F(VmmMove, AbortedItRunsOn) {
  ASSERT_TRUE(begin_incoming());
  begin_outgoing();
  const auto stream = streams_.pop_until(soon());  // closed, it would end the move first
  ASSERT_TRUE(stream);
  outgoing_->abort();
  const auto ended = ended_.pop_until(soon());
  ASSERT_TRUE(ended);
  ASSERT_FALSE(*ended);
  EXPECT_EQ(ended->error().code, ErrorCode::cancelled);
  EXPECT_EQ(source_.state(id_), DomainState::running);
}

TEST_F(VmmMove, AVmWhoseFinishIsNotAnsweredStaysStopped) {
  carry();
  outgoing_.reset();
  source_.stop();
  source_.start();
  EXPECT_TRUE(comes_true([&] { return source_.state(id_) == DomainState::paused; }));
  EXPECT_FALSE(vmm_->has_ended());
}

TEST_F(VmmMove, WhatHasNotArrivedEndsWithTheMove) {
  ASSERT_TRUE(begin_incoming());
  EXPECT_EQ(destination_.state(id_), DomainState::incoming);
  incoming_.reset();
  EXPECT_TRUE(comes_true([&] { return waiting_->has_ended(); }));
  EXPECT_EQ(destination_.state(id_), DomainState::absent);
}

TEST_F(VmmMove, ItIsSlowedAsFarAsIsAllowed) {
  ASSERT_TRUE(begin_incoming());
  options_.max_slowdown = Percent{30};
  begin_outgoing();
  const auto stream = streams_.pop_until(soon());
  ASSERT_TRUE(stream);
  EXPECT_EQ(outgoing_->progress()->slowdown, Percent{});
  ASSERT_TRUE(outgoing_->set_slowdown(Percent{20}));
  EXPECT_TRUE(comes_true([&] { return outgoing_->progress()->slowdown == Percent{20}; }));
  ASSERT_TRUE(outgoing_->set_slowdown(Percent{80}));
  EXPECT_TRUE(comes_true([&] { return outgoing_->progress()->slowdown == Percent{30}; }));
}

TEST_F(VmmMove, AVmmThatDiesIsTold) {
  ASSERT_TRUE(begin_incoming());
  begin_outgoing();
  waiting_->kill();
  EXPECT_TRUE(failed_.pop_until(soon()));
  EXPECT_FALSE(incoming_->finish(call_).loaded);
  EXPECT_TRUE(incoming_->discard());
  vmm_->kill();
  const auto ended = ended_.pop_until(soon());
  ASSERT_TRUE(ended);
  EXPECT_FALSE(*ended);
  EXPECT_EQ(source_.state(id_), DomainState::absent);
}

TEST_F(VmmMove, ALoadedOneThatDiesIsNotLoaded) {
  carry();
  ASSERT_TRUE(comes_true([&] { return destination_.state(id_) == DomainState::paused; }));
  waiting_->kill();
  EXPECT_FALSE(incoming_->finish(call_).loaded);
}

TEST_F(VmmMove, IsRefusedWhereNobodyWaits) {
  waiting_.reset();
  const auto findings = destination_.hypervisor->check_incoming(domain_);
  ASSERT_FALSE(findings);
  EXPECT_EQ(findings.error().code, ErrorCode::refused);
  EXPECT_THAT(findings.error().message, HasSubstr("no fake-vmm waits"));
  EXPECT_FALSE(begin_incoming());
}

TEST_F(VmmMove, IsRefusedByTheVmmThatWaits) {
  vmm::Description description;
  ASSERT_TRUE(description.ParseFromString(std::string(as_text(domain_.vmm_description))));
  description.set_name("strange");
  domain_.name = "strange";
  domain_.vmm_description = copy_of(as_byte_view(description.SerializeAsString()));
  const auto findings = destination_.hypervisor->check_incoming(domain_);
  ASSERT_TRUE(findings);
  ASSERT_EQ(findings->size(), 1U);
  EXPECT_THAT(findings->front().what, HasSubstr("it is strange"));
  // It still waits.
  domain_ = describe();
  EXPECT_TRUE(destination_.hypervisor->check_incoming(domain_)->empty());
}

TEST_F(VmmMove, ADescriptionOfAnotherVmIsRefused) {
  domain_.name = "another";
  EXPECT_FALSE(destination_.hypervisor->check_incoming(domain_));
  EXPECT_FALSE(begin_incoming());
  domain_ = describe();
  domain_.vmm_description = copy_of(as_byte_view("\xff\xff"));
  EXPECT_FALSE(destination_.hypervisor->check_incoming(domain_));
  domain_ = describe();
  domain_.memory = Bytes{1};
  EXPECT_FALSE(destination_.hypervisor->check_incoming(domain_));
}

TEST_F(VmmMove, IsRefusedWhereItIsAlready) {
  FakeVmm other(destination_.socket(), VmId::random().text(), "tiny");
  ASSERT_TRUE(comes_true([&] { return !destination_.hypervisor->list()->empty(); }));
  const auto findings = destination_.hypervisor->check_incoming(domain_);
  ASSERT_TRUE(findings);
  EXPECT_THAT(findings->front().what, HasSubstr("another VM that is called tiny"));
}

}  // namespace
}  // namespace vmigrate::hypervisor
