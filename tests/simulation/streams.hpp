#pragma once

#include "hypervisor.hpp"
#include "migration/carriers.hpp"
#include "wire.hpp"

namespace vmigrate::simulation {

/// The RAM lane, which carries nothing but when it is through.
class SimulatedBulk : public peer::BulkSender, public peer::BulkReceiver {
 public:
  SimulatedBulk(std::shared_ptr<Wire> wire, Side side) : wire_(std::move(wire)), side_(side) {}
  const std::shared_ptr<Wire>& wire() const { return wire_; }
  Side side() const { return side_; }

  Result<> write_parts(Parts) override { return fail(ErrorCode::failed, "there are no bytes here"); }
  Result<> finish() override { return fail(ErrorCode::failed, "there are no bytes here"); }
  std::chrono::nanoseconds waited() const override { return {}; }
  Result<ByteBuffer> read() override { return fail(ErrorCode::failed, "there are no bytes here"); }

 private:
  const std::shared_ptr<Wire> wire_;
  const Side side_;
};

/// In place of OutgoingStream and IncomingStream.
class SimulatedCarriers : public migration::Carriers {
 public:
  SimulatedCarriers(Stage stage, SimulatedHypervisor& hypervisor) : stage_(stage), hypervisor_(hypervisor) {}
  std::unique_ptr<migration::OutgoingCarrier> carry_out(FileDescriptor qemu, peer::BulkSender& wire,
                                                        const reduce::Sizes& sizes,
                                                        std::shared_ptr<migration::Backlog> backlog,
                                                        migration::OutgoingCarrier::Events events) override;
  std::unique_ptr<migration::IncomingCarrier> carry_in(FileDescriptor qemu, peer::BulkReceiver& wire,
                                                       Bytes budget,
                                                       migration::IncomingCarrier::Events events) override;

 private:
  const Stage stage_;
  SimulatedHypervisor& hypervisor_;
};

}  // namespace vmigrate::simulation
