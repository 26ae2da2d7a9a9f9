#pragma once

#include <string>

#include "base/error.hpp"
#include "microvm/virtual_machine.hpp"

/// A VM without a daemon: lines on standard input are for the guest, but for "!send PATH", which moves it to
/// whoever listens there, and "!resume", by which a person says that it runs nowhere else and never will.
namespace vmigrate::microvm {

/// Runs the guest until it ends, is another's, or standard input ends while it runs.
int serve(VirtualMachine& vm);
/// Waits for a VM on a Unix socket; then the same.
int receive_and_serve(VirtualMachine& vm, const std::string& path);

/// Says it on standard error; the exit code.
int report(const Error& error);

}  // namespace vmigrate::microvm
