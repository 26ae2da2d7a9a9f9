#include "migration/carriers.hpp"

#include "migration/incoming_stream.hpp"
#include "migration/outgoing_stream.hpp"

namespace vmigrate::migration {

std::unique_ptr<OutgoingCarrier> StreamCarriers::carry_out(FileDescriptor qemu, peer::BulkSender& wire,
                                                           const reduce::Sizes& sizes,
                                                           std::shared_ptr<Backlog> backlog,
                                                           OutgoingCarrier::Events events) {
  return std::make_unique<OutgoingStream>(std::move(qemu), wire, sizes, std::move(backlog),
                                          std::move(events));
}

std::unique_ptr<IncomingCarrier> StreamCarriers::carry_in(FileDescriptor qemu, peer::BulkReceiver& wire,
                                                          Bytes budget, IncomingCarrier::Events events) {
  return std::make_unique<IncomingStream>(std::move(qemu), wire, budget, std::move(events));
}

}  // namespace vmigrate::migration
