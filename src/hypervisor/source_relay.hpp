#pragma once

#include <mutex>
#include <string>
#include <thread>

#include "hypervisor/rpc_message.hpp"
#include "hypervisor/unix_socket.hpp"

namespace vmigrate::hypervisor {

/// What the handover has said of the VM at the source, as far as libvirt's Confirm has to agree with it.
enum class Verdict {
  none,     ///< Finish was not called: whatever Confirm says can only mean failure
  pending,  ///< Finish was called and is not answered: nobody may confirm anything
  loaded,   ///< the destination has the VM
  failed,   ///< it has not, and never will
};

/// Makes a message to the source's libvirtd say what the verdict says. False: it must not get there.
bool agree(ByteBuffer& message, Verdict verdict);

/// Stands between libvirt's client in this process and this host's libvirtd, for two reasons. Confirm resumes
/// or ends the source's VM, and libvirt's client decides which by whether it could make sense of the answer
/// to Finish: here the handover's verdict decides instead. And cut() makes the client dead to libvirtd at
/// once, which then leaves the VM stopped, while everything else a client can do in the middle of Finish
/// makes it resume the VM.
class SourceRelay {
 public:
  static Result<std::unique_ptr<SourceRelay>> create(const std::string& path,
                                                     const std::string& libvirt_socket);
  ~SourceRelay();

  void set_verdict(Verdict verdict);
  void cut();

 private:
  SourceRelay(UnixListener listener, FileDescriptor libvirt)
      : listener_(std::move(listener)), libvirt_(std::move(libvirt)) {}
  void serve();
  void carry_answers();
  bool forward(ByteBuffer message);

  UnixListener listener_;
  FileDescriptor libvirt_;
  std::mutex mutex_;
  FileDescriptor client_;
  Verdict verdict_ = Verdict::none;
  bool cut_ = false;
  std::jthread answers_thread_;
  std::jthread thread_;
};

}  // namespace vmigrate::hypervisor
