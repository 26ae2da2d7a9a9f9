#pragma once

#include <string>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"

namespace vmigrate::vmm {

/// A listening Unix socket that only root can connect to. Replaces what an earlier life has left at this
/// path, and removes its file at the end of its life.
class Listener {
 public:
  static Result<Listener> create(const std::string& path);
  Listener(Listener&& other) noexcept = default;
  Listener& operator=(Listener&&) = delete;
  ~Listener();

  int file() const { return socket_.get(); }
  Result<FileDescriptor> accept() const;
  /// Whoever waits in accept() wakes up, and nobody can connect any more.
  void close() const;

 private:
  Listener(FileDescriptor socket, std::string path) : socket_(std::move(socket)), path_(std::move(path)) {}
  FileDescriptor socket_;
  std::string path_;
};

Result<FileDescriptor> connect(const std::string& path);

}  // namespace vmigrate::vmm
