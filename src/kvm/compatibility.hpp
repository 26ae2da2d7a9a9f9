#pragma once

#include "base/error.hpp"
#include "kvm/host.hpp"
#include "kvm/state.hpp"

namespace vmigrate::kvm {

/// Whether a VM that needs this can become the VM that is here. No I/O. `own`: what is here, in the same
/// form. Everything that stands against it is named at once, each with what it is there and here.
Result<> check_needs(const Needs& needs, const Needs& own, const Host& host);

/// What keeps the VM that is here from being moved at all.
Result<> check_movable(const Needs& own);

}  // namespace vmigrate::kvm
