#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "microvm/virtual_machine.hpp"

namespace vmigrate::microvm {

/// A VM's serial console as two files: what the guest writes is appended to FOLDER/NAME.console, and what is
/// written to the named pipe FOLDER/NAME.input is typed while the guest runs here. The folder may be shared
/// by several hosts.
class Console {
 public:
  /// `folder` empty: to standard output, and nothing is typed. `ended`: the guest writes no more, because it
  /// has ended or a vCPU cannot go on; called once, from a thread of the console's.
  static Result<std::unique_ptr<Console>> create(VirtualMachine& vm, const std::string& folder,
                                                 const std::string& name, std::function<void()> ended);
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;
  ~Console();

  /// What the guest has written until now is in the file.
  void flush();

 private:
  Console(VirtualMachine& vm, std::function<void()> ended) : vm_(vm), ended_(std::move(ended)) {}
  Result<> open_files(const std::string& folder, const std::string& name);
  void show(const std::stop_token& stop);
  void type(const std::stop_token& stop);

  VirtualMachine& vm_;
  const std::function<void()> ended_;
  FileDescriptor output_;
  FileDescriptor input_;
  std::mutex mutex_;
  std::jthread output_thread_;
  std::jthread input_thread_;
};

/// A VM's name becomes the name of files, and may come from another host: letters, digits, '-', '_' and '.'
/// inside.
Result<> check_name(const std::string& name);

}  // namespace vmigrate::microvm
