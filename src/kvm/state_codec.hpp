#pragma once

#include "base/error.hpp"
#include "kvm/state.hpp"

/// The edge to protobuf.
namespace vmigrate::kvm {

ByteBuffer encode(const Needs& needs);
ByteBuffer encode(const State& state);

/// Refuse what is malformed, or of a newer version.
Result<Needs> decode_needs(ByteView bytes);
/// `needs`: what was accepted; the shape of the state must be that.
Result<State> decode_state(ByteView bytes, const Needs& needs);

}  // namespace vmigrate::kvm
