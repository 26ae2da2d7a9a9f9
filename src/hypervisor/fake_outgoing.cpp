#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include <sys/socket.h>

#include "base/thread_name.hpp"
#include "hypervisor/fake_host.hpp"

namespace vmigrate::hypervisor {
namespace {

class FakeOutgoing : public OutgoingMove {
 public:
  FakeOutgoing(std::shared_ptr<FakeHost> host, const DomainDescription& domain,
               const OutgoingOptions& options, OutgoingEvents events)
      : host_(std::move(host)),
        domain_(domain),
        options_(options),
        events_(std::move(events)),
        stream_(host_->stream()) {
    host_->set_max_pause(options.max_pause);
    host_->watch_death(domain_.id, [this] { interrupt(true); });
  }

  ~FakeOutgoing() override {
    host_->unwatch_death(domain_.id);
    {
      const std::lock_guard lock(mutex_);
      client_gone_ = true;
      changed_.notify_all();
    }
    interrupt(false);
  }

  void start() override {
    thread_ = std::jthread([this] { run(); });
  }

  void deliver(PeerMessage message) override {
    const std::lock_guard lock(mutex_);
    inbox_.push_back(std::move(message));
    changed_.notify_all();
  }

  void answer_finish(FinishAnswer answer) override {
    host_->note(answer.loaded ? "answer finish: loaded" : "answer finish: failed");
    const std::lock_guard lock(mutex_);
    answer_ = std::move(answer);
    changed_.notify_all();
  }

  void abort() override {
    host_->note("abort");
    interrupt(false);
  }

  Result<MemoryProgress> progress() override {
    MemoryProgress progress;
    progress.total = Bytes{stream_.live.size() + stream_.stopped.size()};
    progress.processed = Bytes{written_};
    progress.remaining = Bytes{progress.total.count - written_};
    progress.pass = host_->next_pass();
    if (progress.pass > 1) progress.remaining = progress.total;
    progress.slowdown = host_->slowdown();
    return progress;
  }

  Result<> set_max_pause(Milliseconds pause) override {
    host_->set_max_pause(pause);
    return {};
  }

  Result<> set_slowdown(Percent slowdown) override {
    if (auto passed = host_->script.pass(FakeStep::set_slowdown); !passed) return passed;
    host_->set_slowdown(std::min(slowdown, options_.max_slowdown));
    return {};
  }

 private:
  /// Ends what is under way, unless Finish was already asked for: then only an answer ends it.
  void interrupt(bool died) {
    const std::lock_guard lock(mutex_);
    died_ = died_ || died;
    if (finish_asked_) return;
    abort_.request_stop();
    if (qemu_) ::shutdown(qemu_.get(), SHUT_RDWR);
  }

  void run() {
    name_this_thread("fake-outgoing");
    if (auto prepared = prepare(); !prepared) return finish(std::move(prepared));
    Result<> performed = perform();
    if (performed) performed = stop_being_abortable();
    if (!performed) restore();
    const auto answer = ask_finish(!performed);
    // Its client died: nobody tells libvirt what became of the VM.
    if (!answer) return;
    finish(confirm(performed, *answer));
  }

  Result<> prepare() {
    if (auto passed = host_->script.pass(FakeStep::ask_prepare, abort_.get_token()); !passed) return passed;
    ByteBuffer whole = stream_.live;
    whole.insert(whole.end(), stream_.stopped.begin(), stream_.stopped.end());
    tell(events_.to_peer,
         FakePrepare{domain_.id, whole.size(), hash_of(whole), domain_.persistent}.to_message());
    std::unique_lock lock(mutex_);
    changed_.wait(lock, abort_.get_token(), [&] { return !inbox_.empty(); });
    if (inbox_.empty()) return vmigrate::fail(ErrorCode::cancelled, "aborted");
    if (as_text(inbox_.front()) == "prepared") return {};
    return vmigrate::fail(ErrorCode::failed, std::string(as_text(inbox_.front())));
  }

  Result<> perform() {
    const std::stop_token abort = abort_.get_token();
    if (auto passed = host_->script.pass(FakeStep::connect, abort); !passed) return passed;
    auto [ours, theirs] = make_socket_pair();
    {
      const std::lock_guard lock(mutex_);
      qemu_ = std::move(ours);
    }
    tell(events_.stream_connected, std::move(theirs));
    const std::size_t half = stream_.live.size() / 2;
    const ByteView live(stream_.live);
    if (auto written = write(live.first(half)); !written) return written;
    if (auto passed = host_->script.pass(FakeStep::memory, abort); !passed) return passed;
    if (auto written = write(live.subspan(half)); !written) return written;
    before_ = host_->find(domain_.id).value_or(domain_).state;
    if (!died_) host_->set_state(domain_.id, DomainState::paused);
    host_->note("vCPUs stopped");
    if (auto passed = host_->script.pass(FakeStep::stopped, abort); !passed) return passed;
    if (auto written = write(stream_.stopped); !written) return written;
    if (auto arrived = wait_for_shut(); !arrived) return arrived;
    return host_->script.pass(FakeStep::perform, abort);
  }

  Result<> write(ByteView bytes) {
    while (!bytes.empty()) {
      const auto count = ::send(qemu_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return vmigrate::fail(ErrorCode::failed, "QEMU could not write its stream");
      written_ += static_cast<std::size_t>(count);
      bytes = bytes.subspan(static_cast<std::size_t>(count));
    }
    return {};
  }

  Result<> wait_for_shut() {
    constexpr std::size_t header = 4;
    ByteBuffer received;
    for (;;) {
      while (received.size() >= header) {
        const std::size_t size = header + std::to_integer<std::size_t>(received[3]);
        if (received.size() < size) break;
        if (received[1] == std::byte{1}) return {};
        received.erase(received.begin(), received.begin() + static_cast<std::ptrdiff_t>(size));
      }
      std::array<std::byte, 64> chunk;
      const auto count = ::recv(qemu_.get(), chunk.data(), chunk.size(), 0);
      if (count <= 0)
        return vmigrate::fail(ErrorCode::failed, "QEMU's return path ended before everything had arrived");
      received.insert(received.end(), chunk.begin(), chunk.begin() + count);
    }
  }

  /// From here on abort() comes too late; one that came before wins.
  Result<> stop_being_abortable() {
    const std::lock_guard lock(mutex_);
    if (abort_.stop_requested()) return vmigrate::fail(ErrorCode::cancelled, "aborted");
    finish_asked_ = true;
    qemu_.reset();
    return {};
  }

  void restore() {
    // What has died, or was destroyed meanwhile, is not brought back.
    const auto now = host_->find(domain_.id);
    if (!died_ && now && now->state == DomainState::paused) host_->set_state(domain_.id, before_);
    const std::lock_guard lock(mutex_);
    finish_asked_ = true;
    qemu_.reset();
  }

  std::optional<FinishAnswer> ask_finish(bool cancelled) {
    host_->note(cancelled ? "finish requested: cancelled" : "finish requested");
    tell(events_.finish_requested, FinishCall{cancelled, copy_of(as_byte_view("finish"))});
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return answer_.has_value() || client_gone_; });
    return answer_;
  }

  Result<> confirm(const Result<>& performed, const FinishAnswer& answer) {
    if (auto passed = host_->script.pass(FakeStep::confirm); !passed) return passed;
    if (!performed) return vmigrate::fail(performed.error());
    if (!answer.loaded) {
      restore();
      return vmigrate::fail(ErrorCode::failed, answer.reason);
    }
    host_->note("source removed");
    if (!options_.keep_source_definition) host_->set_persistent(domain_.id, false);
    host_->end(domain_.id);
    return {};
  }

  void finish(Result<> result) {
    host_->set_slowdown({});
    host_->note(result ? "outgoing ended" : "outgoing ended: " + result.error().message);
    tell(events_.ended, std::move(result));
  }

  /// A client that is gone is told nothing.
  template <class Argument>
  void tell(const std::function<void(Argument)>& event, std::type_identity_t<Argument> argument) {
    {
      const std::lock_guard lock(mutex_);
      if (client_gone_) return;
    }
    if (event) event(std::move(argument));
  }

  const std::shared_ptr<FakeHost> host_;
  const DomainDescription domain_;
  const OutgoingOptions options_;
  const OutgoingEvents events_;
  const FakeStream stream_;
  DomainState before_ = domain_.state;
  std::atomic<std::size_t> written_ = 0;
  std::atomic<bool> died_ = false;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::stop_source abort_;
  FileDescriptor qemu_;
  std::deque<PeerMessage> inbox_;
  std::optional<FinishAnswer> answer_;
  bool finish_asked_ = false;
  bool client_gone_ = false;
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<OutgoingMove> make_fake_outgoing(std::shared_ptr<FakeHost> host,
                                                 const DomainDescription& domain,
                                                 const OutgoingOptions& options, OutgoingEvents events) {
  return std::make_unique<FakeOutgoing>(std::move(host), domain, options, std::move(events));
}

}  // namespace vmigrate::hypervisor
