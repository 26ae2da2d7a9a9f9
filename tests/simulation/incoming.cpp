#include "moves.hpp"

namespace vmigrate::simulation {

using hypervisor::DomainState;

Incoming::Incoming(Stage stage, SimulatedHypervisor& hypervisor, Side side,
                   const hypervisor::DomainDescription& domain, hypervisor::IncomingEvents events)
    : stage_(stage),
      hypervisor_(hypervisor),
      side_(side),
      persistent_(domain.persistent),
      was_defined_(stage_.world.at(side).defined),
      events_(std::move(events)) {
}

void Incoming::deliver() {
  stage_.scheduler.after(stage_.scheduler.some_time(), [self = shared_from_this()] { self->prepare(); });
}

void Incoming::prepare() {
  if (closed_ || process_) return;
  const bool works = stage_.chaos.fate_of_call(side_) == CallFate::works;
  if (!works || stage_.world.at(side_).process) {
    events_.to_peer(copy_of(as_byte_view("not prepared")));
    return events_.failed({ErrorCode::failed, "libvirt cannot take the VM in", ""});
  }
  stage_.world.create_incoming(side_);
  process_ = stage_.world.at(side_).process->number;
  events_.to_peer(copy_of(as_byte_view("prepared")));
  events_.prepared();
}

Result<FileDescriptor> Incoming::connect_stream() {
  auto called = hypervisor_.call("connect stream", [&]() -> Result<> {
    if (!has_vm()) return fail(ErrorCode::failed, "nothing listens for the stream");
    hypervisor_.connect(shared_from_this());
    return {};
  });
  if (!called) return fail(called.error());
  return FileDescriptor();
}

bool Incoming::has_vm() const {
  const auto& process = stage_.world.at(side_).process;
  return process && process_ && process->number == *process_;
}

hypervisor::FinishAnswer Incoming::finish() {
  auto called = hypervisor_.call("finish", [&]() -> Result<> {
    if (!has_vm() || !version_ || lost_) return fail(ErrorCode::failed, "the VM has not arrived");
    auto& process = *stage_.world.at(side_).process;
    process.state = DomainState::paused;
    process.version = *version_;
    if (persistent_) stage_.world.define(side_);
    finished_ = true;
    return {};
  });
  // A load that fails takes what came in with it; an answer that is lost leaves it.
  if (!called && has_vm() && !finished_) stage_.world.end(side_, false);
  if (!called) return {false, {}, called.error().message};
  return {true, copy_of(as_byte_view("loaded")), ""};
}

Result<> Incoming::discard() {
  closed_ = true;
  return hypervisor_.call("discard", [&]() -> Result<> {
    if (!process_ || stage_.mutation == Mutation::discard_lies) return {};
    if (stage_.world.state(side_) == DomainState::running)
      return fail(ErrorCode::needs_attention, "somebody else has started it");
    stage_.world.end(side_, false);
    if (!was_defined_) stage_.world.undefine(side_);
    return {};
  });
}

void Incoming::client_gone(bool killed) {
  closed_ = true;
  const auto let_go = [self = shared_from_this()] {
    if (self->has_vm() && !self->finished_) self->stage_.world.end(self->side_, false);
  };
  if (killed)
    stage_.scheduler.after(stage_.scheduler.some_time(), let_go);
  else
    let_go();
}

void Incoming::vm_died() {
  lose("QEMU died");
}

void Incoming::libvirtd_died() {
  // What was arriving is ended at its return; what had arrived stays.
  if (has_vm() && !finished_) stage_.world.end(side_, true);
  lose("libvirtd died");
}

void Incoming::lose(const std::string& why) {
  if (closed_ || lost_ || !process_) return;
  lost_ = true;
  events_.failed({ErrorCode::failed, why, ""});
}

}  // namespace vmigrate::simulation
