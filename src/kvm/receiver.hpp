#pragma once

#include <optional>

#include "kvm/answers.hpp"
#include "kvm/connection.hpp"
#include "kvm/digest.hpp"
#include "kvm/machine_parts.hpp"
#include "kvm/page_placer.hpp"
#include "stream/decoder.hpp"

namespace vmigrate::kvm {

/// One Machine::receive().
class Receiver {
 public:
  Receiver(MachineParts& machine, int socket, const Cancellation& cancellation);
  Result<ReceiveReport> run();

 private:
  Result<> take_in();
  Result<> read_head();
  Result<> agree();
  Result<> receive_all();
  Result<> take(ByteView bytes);
  Result<> load();
  Result<State> parse_state() const;
  Result<> load_state(const State& state);
  Result<> answer(const Answer& answer);

  MachineParts& machine_;
  Connection connection_;
  ByteBuffer head_;  ///< all of the stream that was read before the decoder saw it
  Needs needs_;
  stream::Decoder decoder_;
  Digester digester_;  ///< of what comes before the state
  std::optional<PagePlacer> placer_;
};

}  // namespace vmigrate::kvm
