#include "microvm/vcpu.hpp"

#include <array>
#include <cerrno>
#include <csignal>

#include <fmt/format.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include "base/thread_name.hpp"

namespace vmigrate::microvm {
namespace {

int kick_signal() {
  return SIGRTMIN;
}

// A signal ends KVM_RUN only if it has a handler, which is a property of the process.
void install_kick_handler() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(kick_signal(), &action, nullptr);
}

kvm_segment flat_segment(std::uint16_t selector, bool code) {
  kvm_segment segment{};
  segment.limit = 0xffffffff;
  segment.selector = selector;
  segment.type = code ? 11 : 3;
  segment.present = 1;
  segment.db = 1;
  segment.s = 1;
  segment.g = 1;
  return segment;
}

}  // namespace

Vcpu::Vcpu(FileDescriptor file, std::uint32_t number, Devices& devices, std::function<Result<>()> ring_full)
    : file_(std::move(file)), number_(number), devices_(devices), ring_full_(std::move(ring_full)) {
}

Vcpu::~Vcpu() {
  {
    const std::lock_guard lock(mutex_);
    wish_ = Wish::end;
    if (run_ != nullptr) run_->immediate_exit = 1;
  }
  changed_.notify_all();
  if (thread_.joinable()) {
    ::pthread_kill(thread_.native_handle(), kick_signal());
    thread_.join();
  }
  if (run_ != nullptr) ::munmap(run_, run_size_);
}

Result<> Vcpu::create(std::size_t run_size) {
  void* shared = ::mmap(nullptr, run_size, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (shared == MAP_FAILED) return fail_errno("mapping a vCPU", errno);
  run_ = static_cast<kvm_run*>(shared);
  run_size_ = run_size;
  install_kick_handler();
  thread_ = std::jthread([this] { run(); });
  return {};
}

Result<> Vcpu::set_start(const Start& start) {
  kvm_sregs special{};
  if (::ioctl(file_.get(), KVM_GET_SREGS, &special) != 0)
    return fail_errno("reading special registers", errno);
  special.cs = flat_segment(start.code_selector, true);
  special.ds = special.es = special.fs = special.gs = special.ss = flat_segment(start.data_selector, false);
  if (start.descriptor_bytes != 0) {
    special.gdt.base = start.descriptor_table;
    special.gdt.limit = static_cast<std::uint16_t>(start.descriptor_bytes - 1);
  }
  special.cr0 |= 1;  // protected mode
  if (::ioctl(file_.get(), KVM_SET_SREGS, &special) != 0)
    return fail_errno("writing special registers", errno);
  kvm_regs registers{};
  registers.rip = start.entry;
  registers.rsp = start.stack;
  registers.rbx = start.number;
  registers.rsi = start.vcpus;
  registers.rcx = start.first;
  registers.rdx = start.second;
  registers.rflags = 2;
  if (::ioctl(file_.get(), KVM_SET_REGS, &registers) != 0) return fail_errno("writing registers", errno);
  kvm_mp_state state{KVM_MP_STATE_RUNNABLE};
  if (::ioctl(file_.get(), KVM_SET_MP_STATE, &state) != 0 && errno != ENXIO && errno != EINVAL) {
    return fail_errno("making a vCPU run", errno);
  }
  return {};
}

void Vcpu::resume() {
  const std::lock_guard lock(mutex_);
  wish_ = Wish::run;
  held_until_ = {};
  run_->immediate_exit = 0;
  changed_.notify_all();
}

void Vcpu::hold(MonotonicTime until) {
  const std::lock_guard lock(mutex_);
  if (wish_ != Wish::run) return;
  held_until_ = until;
  run_->immediate_exit = 1;
  ::pthread_kill(thread_.native_handle(), kick_signal());
}

// immediate_exit catches a vCPU that is about to enter KVM_RUN, the signal one that is in it.
void Vcpu::ask_to_stop() {
  const std::lock_guard lock(mutex_);
  wish_ = Wish::stop;
  run_->immediate_exit = 1;
  changed_.notify_all();
  ::pthread_kill(thread_.native_handle(), kick_signal());
}

void Vcpu::await_stopped() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return stopped_; });
}

std::string Vcpu::failure() const {
  const std::lock_guard lock(mutex_);
  return failure_;
}

void Vcpu::run() {
  name_this_thread(fmt::format("vcpu-{}", number_));
  while (await_wish_to_run()) run_until_stopped();
}

bool Vcpu::await_wish_to_run() {
  std::unique_lock lock(mutex_);
  stopped_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return wish_ == Wish::end || (wish_ == Wish::run && failure_.empty()); });
  stopped_ = false;
  return wish_ == Wish::run;
}

// It stops only where KVM_RUN was interrupted: KVM finishes a port's access when it is entered again, and a
// vCPU that was stopped before that would be saved in the middle of an instruction.
void Vcpu::run_until_stopped() {
  for (;;) {
    if (::ioctl(file_.get(), KVM_RUN, 0) == 0) {
      if (!handle_exit()) return;
      continue;
    }
    if (errno != EINTR && errno != EAGAIN) {
      return give_up(fmt::format("KVM_RUN failed (errno {})", errno));
    }
    if (!may_go_on()) return;
  }
}

bool Vcpu::may_go_on() {
  std::unique_lock lock(mutex_);
  // It may be held anew meanwhile.
  while (wish_ == Wish::run && std::chrono::steady_clock::now() < held_until_)
    changed_.wait_until(lock, held_until_);
  if (wish_ != Wish::run) return false;
  run_->immediate_exit = 0;
  return true;
}

bool Vcpu::handle_exit() {
  switch (run_->exit_reason) {
    case KVM_EXIT_IO: handle_port(); return true;
    case KVM_EXIT_MMIO:
      if (run_->mmio.is_write == 0) std::fill(std::begin(run_->mmio.data), std::end(run_->mmio.data), 0xff);
      return true;
    case KVM_EXIT_INTR: return true;
    case KVM_EXIT_DIRTY_RING_FULL:
      if (auto done = ring_full_(); !done) return give_up(done.error().message), false;
      return true;
    case KVM_EXIT_HLT: return give_up("it has halted for good"), false;
    case KVM_EXIT_SHUTDOWN: return give_up("it has shut down (triple fault)"), false;
    case KVM_EXIT_INTERNAL_ERROR:
      return give_up(fmt::format("KVM cannot run it: internal error {}", run_->internal.suberror)), false;
    default: return give_up(fmt::format("it has left KVM_RUN for reason {}", run_->exit_reason)), false;
  }
}

void Vcpu::handle_port() {
  const auto& io = run_->io;
  auto* data = reinterpret_cast<std::byte*>(run_) + io.data_offset;
  for (std::uint32_t i = 0; i < io.count; ++i, data += io.size) {
    if (io.direction == KVM_EXIT_IO_OUT)
      devices_.write(io.port, {data, io.size});
    else
      devices_.read(io.port, {data, io.size});
  }
}

void Vcpu::give_up(std::string why) {
  const std::lock_guard lock(mutex_);
  failure_ = fmt::format("vCPU {}: {}", number_, why);
  devices_.abandon();
}

}  // namespace vmigrate::microvm
