#include "moves.hpp"

namespace vmigrate::simulation {

using hypervisor::DomainState;

namespace {

constexpr std::chrono::microseconds kStep{1'000};
const Error kFailed{ErrorCode::failed, "libvirt's migration failed", ""};

hypervisor::PeerMessage message(std::string_view text) {
  return copy_of(as_byte_view(text));
}

}  // namespace

Outgoing::Outgoing(Stage stage, SimulatedHypervisor& hypervisor, Side side,
                   const hypervisor::DomainDescription& domain, const hypervisor::OutgoingOptions& options,
                   hypervisor::OutgoingEvents events)
    : stage_(stage),
      hypervisor_(hypervisor),
      side_(side),
      keeps_definition_(options.keep_source_definition),
      was_running_(domain.state == DomainState::running),
      process_(stage_.world.at(side).process ? stage_.world.at(side).process->number : 0),
      events_(std::move(events)) {
}

void Outgoing::later(void (Outgoing::*next)()) {
  stage_.scheduler.after(kStep + stage_.scheduler.some_time(), [self = shared_from_this(), next, at = step_] {
    if (self->step_ == at) (*self.*next)();
  });
}

void Outgoing::start() {
  step_ = Step::preparing;
  later(&Outgoing::ask_prepare);
}

void Outgoing::ask_prepare() {
  if (!has_vm()) return end(fail(kFailed));
  events_.to_peer(message("prepare"));
}

void Outgoing::deliver(const hypervisor::PeerMessage& answer) {
  if (step_ != Step::preparing) return;
  if (as_text(answer) != "prepared") return end(fail(kFailed));
  step_ = Step::memory;
  later(&Outgoing::connect);
}

void Outgoing::connect() {
  hypervisor_.offer(shared_from_this());
  events_.stream_connected(FileDescriptor());
  later(&Outgoing::stop_vm);
}

bool Outgoing::has_vm() const {
  const auto& process = stage_.world.at(side_).process;
  return process && process->number == process_;
}

bool Outgoing::can_write() const {
  const auto stream = stream_.lock();
  return has_vm() && stream && stream->takes();
}

void Outgoing::stop_vm() {
  if (!can_write()) return give_up();
  // QEMU waits for the link with what it has to write.
  if (stream_.lock()->stalls()) return later(&Outgoing::stop_vm);
  stage_.world.stop(side_);
  step_ = Step::last_pages;
  // The thread that reads the stream may see it only later than the hypervisor asks for Finish.
  stage_.scheduler.after(stage_.scheduler.some_time(), [stream = stream_] {
    if (const auto open = stream.lock()) open->tell_vcpus_stopped();
  });
  later(&Outgoing::write_last_pages);
}

void Outgoing::write_last_pages() {
  if (!can_write()) return give_up();
  if (stream_.lock()->stalls()) return later(&Outgoing::write_last_pages);
  stream_.lock()->carry(stage_.world.at(side_).process->version);
  performed_ = true;
  step_ = Step::finish_asked;
  events_.finish_requested({false, message("finish")});
  if (stage_.mutation == Mutation::removed_with_finish) stage_.world.end(side_, false);
  if (stage_.mutation == Mutation::libvirt_resumes) {
    stage_.scheduler.after(std::chrono::seconds(5), [self = shared_from_this()] {
      if (self->step_ == Step::finish_asked) self->answer(false);
    });
  }
}

void Outgoing::give_up() {
  restore();
  step_ = Step::finish_asked;
  if (client_gone_) return end(fail(kFailed));
  events_.finish_requested({true, message("finish: cancelled")});
}

void Outgoing::answer(bool loaded) {
  if (step_ != Step::finish_asked) return;
  loaded_ = loaded;
  step_ = Step::answered;
  later(&Outgoing::confirm);
}

void Outgoing::confirm() {
  if (!performed_) return end(fail(kFailed));
  // A Confirm that fails leaves the VM as it is: stopped.
  if (stage_.chaos.fate_of_call(side_) == CallFate::fails) return end(fail(kFailed));
  if (!loaded_) {
    restore();
    return end(fail(kFailed));
  }
  if (has_vm()) {
    stage_.world.end(side_, false);
    if (!keeps_definition_) stage_.world.undefine(side_);
  }
  end({});
}

void Outgoing::restore() {
  if (was_running_ && has_vm()) stage_.world.run(side_);
}

void Outgoing::end(Result<> result) {
  step_ = Step::over;
  if (!client_gone_) events_.ended(std::move(result));
}

void Outgoing::abort() {
  if (step_ >= Step::finish_asked) return;
  if (step_ == Step::idle) return end(fail(kFailed));
  if (step_ == Step::preparing) {
    stage_.scheduler.after(stage_.scheduler.some_time(), [self = shared_from_this()] {
      if (self->step_ < Step::finish_asked) self->end(fail(ErrorCode::cancelled, "aborted"));
    });
    return;
  }
  stream_ended();
}

void Outgoing::stream_ended() {
  if (step_ != Step::memory && step_ != Step::last_pages) return;
  stage_.scheduler.after(stage_.scheduler.some_time(), [self = shared_from_this()] {
    if (self->step_ == Step::memory || self->step_ == Step::last_pages) self->give_up();
  });
}

void Outgoing::client_gone(bool killed) {
  client_gone_ = true;
  if (step_ >= Step::finish_asked) {
    // Nobody tells libvirt what became of the VM, which stays as it is, unless it was being told just now.
    if (step_ == Step::answered && killed && stage_.scheduler.random().one_in(2)) step_ = Step::over;
    if (step_ == Step::finish_asked) step_ = Step::over;
    return;
  }
  const auto let_go = [self = shared_from_this()] {
    if (self->step_ >= Step::finish_asked) return;
    self->restore();
    self->step_ = Step::over;
  };
  // Who lets go of it waits for that; libvirt notices by itself when a daemon dies.
  if (killed)
    stage_.scheduler.after(stage_.scheduler.some_time(), let_go);
  else
    let_go();
}

void Outgoing::vm_died() {
  if (step_ == Step::preparing)
    abort();
  else
    stream_ended();
}

void Outgoing::libvirtd_died() {
  if (step_ == Step::idle || step_ == Step::over) return;
  // On its return it lets a VM run that was still being copied, and leaves one whose Finish was asked for.
  if (step_ < Step::finish_asked) restore();
  end(fail(kFailed));
}

}  // namespace vmigrate::simulation
