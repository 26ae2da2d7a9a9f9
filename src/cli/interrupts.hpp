#pragma once

#include "base/error.hpp"
#include "base/file_descriptor.hpp"

namespace vmigrate::cli {

/// Turns Ctrl-C into something to poll for, from its creation to its end. One at a time.
class Interrupts {
 public:
  static Result<Interrupts> create();
  Interrupts(Interrupts&&) = default;
  Interrupts& operator=(Interrupts&&) = delete;
  Interrupts(const Interrupts&) = delete;
  Interrupts& operator=(const Interrupts&) = delete;
  ~Interrupts();

  int descriptor() const { return signals_.get(); }
  /// Takes one Ctrl-C; false when there is none.
  bool take();

 private:
  explicit Interrupts(FileDescriptor signals) : signals_(std::move(signals)) {}
  FileDescriptor signals_;
};

}  // namespace vmigrate::cli
