#pragma once

#include <string>

#include <sys/types.h>

#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/file_descriptor.hpp"

namespace vmigrate::hypervisor {

/// A listening Unix socket that only root can connect to. Removes its file at the end of its life.
class UnixListener {
 public:
  static Result<UnixListener> create(const std::string& path);
  UnixListener(UnixListener&&) = default;
  UnixListener& operator=(UnixListener&&) = delete;
  ~UnixListener();

  /// Waits for the next connection; fails once close() was called, from whatever thread.
  Result<FileDescriptor> accept() const;
  void close() const;

 private:
  UnixListener(FileDescriptor socket, std::string path)
      : socket_(std::move(socket)), path_(std::move(path)) {}
  FileDescriptor socket_;
  std::string path_;
};

Result<FileDescriptor> connect_unix(const std::string& path);
/// Whether the other end is this very process.
bool is_own_process(int socket);
/// Ends both directions: whoever waits on the socket wakes up.
void shut_down(const FileDescriptor& socket);

Result<> write_all(int socket, ByteView bytes);
/// The next whole RPC message. Its size is checked before memory is taken.
Result<ByteBuffer> read_rpc_message(int socket);

}  // namespace vmigrate::hypervisor
