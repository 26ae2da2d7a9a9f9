#include "hypervisor.hpp"

#include <fmt/format.h>

#include "moves.hpp"

namespace vmigrate::simulation {

using hypervisor::DomainDescription;
using hypervisor::DomainState;
using hypervisor::Finding;

namespace {

class OutgoingHandle : public hypervisor::OutgoingMove {
 public:
  OutgoingHandle(Scheduler& scheduler, std::shared_ptr<Outgoing> move)
      : scheduler_(scheduler), move_(std::move(move)) {}
  OutgoingHandle(const OutgoingHandle&) = delete;
  OutgoingHandle& operator=(const OutgoingHandle&) = delete;
  ~OutgoingHandle() override { move_->client_gone(!scheduler_.may_wait() || scheduler_.is_going_down()); }
  void start() override { move_->start(); }
  void deliver(hypervisor::PeerMessage message) override { move_->deliver(message); }
  void answer_finish(hypervisor::FinishAnswer answer) override { move_->answer(answer.loaded); }
  void abort() override { move_->abort(); }
  Result<hypervisor::MemoryProgress> progress() override {
    hypervisor::MemoryProgress progress;
    progress.pass = 1;
    return progress;
  }
  Result<> set_max_pause(Milliseconds) override { return {}; }
  Result<> set_slowdown(Percent) override { return {}; }

 private:
  Scheduler& scheduler_;
  const std::shared_ptr<Outgoing> move_;
};

class IncomingHandle : public hypervisor::IncomingMove {
 public:
  IncomingHandle(Scheduler& scheduler, std::shared_ptr<Incoming> move)
      : scheduler_(scheduler), move_(std::move(move)) {}
  IncomingHandle(const IncomingHandle&) = delete;
  IncomingHandle& operator=(const IncomingHandle&) = delete;
  ~IncomingHandle() override { move_->client_gone(!scheduler_.may_wait() || scheduler_.is_going_down()); }
  void deliver(hypervisor::PeerMessage) override { move_->deliver(); }
  Result<FileDescriptor> connect_stream() override { return move_->connect_stream(); }
  hypervisor::FinishAnswer finish(hypervisor::FinishCall) override { return move_->finish(); }
  Result<> discard() override { return move_->discard(); }

 private:
  Scheduler& scheduler_;
  const std::shared_ptr<Incoming> move_;
};

/// Those of the moves that are still there.
template <class Move, class Does>
void each(const std::vector<std::weak_ptr<Move>>& moves, Does does) {
  for (const auto& weak : moves) {
    if (const auto move = weak.lock()) does(*move);
  }
}

}  // namespace

Result<> SimulatedHypervisor::call(std::string_view name, const std::function<Result<>()>& effect) {
  const auto failed = fail(ErrorCode::failed, fmt::format("libvirt: {} failed", name));
  if (!stage_.scheduler.may_wait()) return failed;
  stage_.chaos.point(side_, fmt::format("before {}", name));
  stage_.scheduler.pause(stage_.scheduler.some_time());
  const auto fate = stage_.chaos.fate_of_call(side_);
  if (fate == CallFate::fails) return failed;
  auto result = effect();
  stage_.chaos.point(side_, fmt::format("after {}", name));
  if (fate == CallFate::loses_answer) return failed;
  return result;
}

void SimulatedHypervisor::vm_died() {
  stage_.world.end(side_, true);
  each(outgoing_, [](Outgoing& move) { move.vm_died(); });
  each(incoming_, [](Incoming& move) { move.vm_died(); });
}

void SimulatedHypervisor::libvirtd_died() {
  each(outgoing_, [](Outgoing& move) { move.libvirtd_died(); });
  each(incoming_, [](Incoming& move) { move.libvirtd_died(); });
}

Result<std::vector<hypervisor::DomainSummary>> SimulatedHypervisor::list() {
  return fail(ErrorCode::failed, "nobody asks for it here");
}

Result<DomainDescription> SimulatedHypervisor::describe(const std::string&) {
  auto domain = stage_.world.vm();
  if (auto called = call("describe", [] { return Result<>(); }); !called) return fail(called.error());
  domain.state = stage_.world.state(side_);
  domain.persistent = stage_.world.at(side_).defined;
  if (domain.state == DomainState::absent) return fail(ErrorCode::not_found, "there is no such VM");
  return domain;
}

Result<DomainState> SimulatedHypervisor::state(const VmId&) {
  DomainState seen = DomainState::absent;
  auto called = call("state", [&] {
    seen = stage_.world.state(side_);
    return Result<>();
  });
  if (!called) return fail(called.error());
  return seen;
}

Result<std::vector<Finding>> SimulatedHypervisor::check_outgoing(const DomainDescription&) {
  std::vector<Finding> findings;
  auto called = call("check outgoing", [&]() -> Result<> {
    const auto state = stage_.world.state(side_);
    if (state != DomainState::running && state != DomainState::paused)
      findings.push_back({ErrorCode::refused, "the VM does not run", ""});
    return {};
  });
  if (!called) return fail(called.error());
  return findings;
}

Result<std::vector<Finding>> SimulatedHypervisor::check_incoming(const DomainDescription&) {
  std::vector<Finding> findings;
  auto called = call("check incoming", [&]() -> Result<> {
    if (stage_.world.at(side_).process)
      findings.push_back({ErrorCode::refused, "the VM is active there already", ""});
    return {};
  });
  if (!called) return fail(called.error());
  return findings;
}

Result<std::unique_ptr<hypervisor::OutgoingMove>> SimulatedHypervisor::begin_outgoing(
    const DomainDescription& domain, const hypervisor::OutgoingOptions& options,
    hypervisor::OutgoingEvents events) {
  if (auto called = call("begin outgoing", [] { return Result<>(); }); !called) return fail(called.error());
  auto move = std::make_shared<Outgoing>(stage_, *this, side_, domain, options, std::move(events));
  outgoing_.push_back(move);
  return std::make_unique<OutgoingHandle>(stage_.scheduler, std::move(move));
}

Result<std::unique_ptr<hypervisor::IncomingMove>> SimulatedHypervisor::begin_incoming(
    const hypervisor::IncomingOptions& options, hypervisor::IncomingEvents events) {
  if (auto called = call("begin incoming", [] { return Result<>(); }); !called) return fail(called.error());
  if (stage_.world.at(side_).process) return fail(ErrorCode::refused, "the VM is on this host already");
  auto move = std::make_shared<Incoming>(stage_, *this, side_, options.domain, std::move(events));
  incoming_.push_back(move);
  return std::make_unique<IncomingHandle>(stage_.scheduler, std::move(move));
}

Result<> SimulatedHypervisor::resume(const VmId&) {
  return call("resume", [&]() -> Result<> {
    const auto state = stage_.world.state(side_);
    if (state != DomainState::paused && state != DomainState::running)
      return fail(ErrorCode::failed, "it is not there to be resumed");
    stage_.world.run(side_);
    return {};
  });
}

Result<> SimulatedHypervisor::destroy(const VmId&) {
  return call("destroy", [&]() -> Result<> {
    stage_.world.end(side_, false);
    return {};
  });
}

Result<> SimulatedHypervisor::undefine(const VmId&) {
  return call("undefine", [&]() -> Result<> {
    if (stage_.world.at(side_).process) return fail(ErrorCode::failed, "the VM is active");
    stage_.world.undefine(side_);
    return {};
  });
}

}  // namespace vmigrate::simulation
