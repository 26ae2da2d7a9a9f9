#pragma once

#include <string>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"

namespace vmigrate::control {

/// The listening socket's file, held by this process alone as long as the object lives. The destructor
/// removes the file.
class Listener {
 public:
  /// Makes the socket, mode 0660 and owned by `group` (empty: the process's own). A group that does not exist
  /// is reported in the log and leaves the socket to the process's own group. A file that a dead daemon left
  /// is replaced; one that somebody answers on, or that is no socket, is an error and stays as it is.
  static Result<Listener> open(const std::string& path, const std::string& group);

  Listener(Listener&&) = default;
  Listener& operator=(Listener&&) = delete;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;
  ~Listener();

  /// The listening descriptor, once; whoever takes it closes it.
  FileDescriptor take_socket() { return std::move(socket_); }

 private:
  Listener(std::string path, FileDescriptor lock, FileDescriptor socket)
      : path_(std::move(path)), lock_(std::move(lock)), socket_(std::move(socket)) {}

  std::string path_;
  FileDescriptor lock_;
  FileDescriptor socket_;
};

}  // namespace vmigrate::control
