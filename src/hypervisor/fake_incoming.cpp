#include <condition_variable>
#include <mutex>
#include <optional>
#include <stop_token>
#include <thread>

#include <sys/socket.h>

#include "base/thread_name.hpp"
#include "hypervisor/fake_host.hpp"

namespace vmigrate::hypervisor {
namespace {

class FakeIncoming : public IncomingMove {
 public:
  FakeIncoming(std::shared_ptr<FakeHost> host, const IncomingOptions& options, IncomingEvents events)
      : host_(std::move(host)), domain_(options.domain), events_(std::move(events)) {
    const auto present = host_->find(domain_.id);
    was_defined_ = present && present->persistent;
  }

  ~FakeIncoming() override {
    close();
    // libvirt destroys an arriving VM whose client goes away before Finish; afterwards nobody does.
    if (created_ && !finished_) host_->end(domain_.id);
  }

  void deliver(PeerMessage message) override {
    const std::lock_guard lock(mutex_);
    if (thread_.joinable()) return;
    thread_ = std::jthread([this, prepare = FakePrepare::from_message(message)] { run(prepare); });
  }

  Result<FileDescriptor> connect_stream() override {
    if (auto passed = host_->script.pass(FakeStep::connect_stream, stop_.get_token()); !passed) {
      return vmigrate::fail(passed.error());
    }
    const std::lock_guard lock(mutex_);
    if (!theirs_) return vmigrate::fail(ErrorCode::failed, "nothing listens for the stream");
    return std::move(theirs_);
  }

  FinishAnswer finish(FinishCall call) override {
    host_->note(call.cancelled ? "finish: cancelled" : "finish");
    if (call.cancelled) return give_up("the source cancelled");
    std::string why;
    {
      std::unique_lock lock(mutex_);
      arrived_.wait(lock, [&] { return !created_ || loaded_ || !lost_.empty(); });
      why = !created_ ? "nothing was prepared" : lost_;
    }
    if (!why.empty()) return give_up(why);
    if (auto passed = host_->script.pass(FakeStep::load, stop_.get_token()); !passed)
      return give_up(passed.error().message);
    finished_ = true;
    host_->set_state(domain_.id, DomainState::paused);
    if (persistent_) host_->set_persistent(domain_.id, true);
    return FinishAnswer{true, copy_of(as_byte_view("loaded")), ""};
  }

  Result<> discard() override {
    host_->note("discard");
    if (auto passed = host_->script.pass(FakeStep::discard); !passed) return passed;
    close();
    if (!created_) return {};
    if (!was_defined_) host_->set_persistent(domain_.id, false);
    host_->end(domain_.id);
    created_ = false;
    return {};
  }

 private:
  void run(const std::optional<FakePrepare>& prepare) {
    name_this_thread("fake-incoming");
    if (!prepare || prepare->vm != domain_.id) return refuse("this session is about another VM");
    if (auto passed = host_->script.pass(FakeStep::prepare, stop_.get_token()); !passed) {
      return refuse(passed.error().message);
    }
    const auto present = host_->find(domain_.id);
    if (present && present->state != DomainState::shut_off) return refuse("the VM is active here already");
    host_->note("prepared");
    receive(*prepare);
  }

  void receive(const FakePrepare& prepare) {
    DomainDescription arriving = domain_;
    arriving.state = DomainState::incoming;
    arriving.persistent = was_defined_;
    host_->put(arriving);
    auto [ours, theirs] = make_socket_pair();
    const int qemu = ours.get();
    {
      const std::lock_guard lock(mutex_);
      created_ = true;
      persistent_ = prepare.persistent;
      ours_ = std::move(ours);
      theirs_ = std::move(theirs);
    }
    host_->watch_death(domain_.id, [this] { lose("QEMU died"); });
    if (events_.to_peer) events_.to_peer(copy_of(as_byte_view("prepared")));
    if (events_.prepared) events_.prepared();
    const auto bytes = read(qemu, prepare.bytes);
    if (!bytes || hash_of(*bytes) != prepare.hash) {
      return lose(bytes ? "the stream is not what the source wrote" : "the stream ended early");
    }
    const ByteBuffer answer = example_return_path();
    static_cast<void>(::send(qemu, answer.data(), answer.size(), MSG_NOSIGNAL));
    ::shutdown(qemu, SHUT_WR);
    const std::lock_guard lock(mutex_);
    loaded_ = true;
    arrived_.notify_all();
  }

  static std::optional<ByteBuffer> read(int qemu, std::size_t size) {
    ByteBuffer bytes;
    while (bytes.size() < size) {
      std::array<std::byte, 4096> chunk;
      const auto count = ::recv(qemu, chunk.data(), std::min(chunk.size(), size - bytes.size()), 0);
      if (count <= 0) return std::nullopt;
      bytes.insert(bytes.end(), chunk.begin(), chunk.begin() + count);
    }
    return bytes;
  }

  void refuse(const std::string& why) {
    if (events_.to_peer) events_.to_peer(copy_of(as_byte_view(why)));
    if (events_.failed) events_.failed(Error{ErrorCode::failed, why});
  }

  /// QEMU exits when its stream breaks, and libvirt with it forgets the VM.
  void lose(const std::string& why) {
    {
      const std::lock_guard lock(mutex_);
      if (stop_.stop_requested() || !lost_.empty()) return;
      lost_ = why;
      arrived_.notify_all();
    }
    host_->end(domain_.id);
    host_->note("incoming lost: " + why);
    if (events_.failed) events_.failed(Error{ErrorCode::failed, why});
  }

  FinishAnswer give_up(const std::string& why) {
    if (created_) host_->end(domain_.id);
    return FinishAnswer{false, copy_of(as_byte_view("failed")), why};
  }

  void close() {
    host_->unwatch_death(domain_.id);
    const std::lock_guard closing(closing_);
    {
      const std::lock_guard lock(mutex_);
      stop_.request_stop();
      if (lost_.empty()) lost_ = "discarded";
      if (ours_) ::shutdown(ours_.get(), SHUT_RDWR);
      arrived_.notify_all();
    }
    if (thread_.joinable()) thread_.join();
  }

  const std::shared_ptr<FakeHost> host_;
  const DomainDescription domain_;
  const IncomingEvents events_;
  bool was_defined_ = false;
  std::atomic<bool> created_ = false;
  std::atomic<bool> finished_ = false;
  std::atomic<bool> persistent_ = false;

  std::mutex closing_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::stop_source stop_;
  FileDescriptor ours_;
  FileDescriptor theirs_;
  bool loaded_ = false;
  std::string lost_;
  std::jthread thread_;
};

}  // namespace

std::unique_ptr<IncomingMove> make_fake_incoming(std::shared_ptr<FakeHost> host,
                                                 const IncomingOptions& options, IncomingEvents events) {
  return std::make_unique<FakeIncoming>(std::move(host), options, std::move(events));
}

}  // namespace vmigrate::hypervisor
