#pragma once

#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "hypervisor/domain.hpp"

/// How two hosts find out whether they see the same storage. Paths say nothing: each host may have a file of
/// that name. An image file is proved by a token: the source makes an empty file with a random name in the
/// image's folder, and the destination looks for it. A block device is compared by what it says of itself.
namespace vmigrate::hypervisor {

/// A fresh identity for a disk, without touching anything but a block device's attributes: "file:<32 hex
/// digits>", "block:<size in bytes>:<identifier>", or nothing where there is nothing to compare.
std::string make_identity(const Disk& disk);

/// Whether this host sees the disk that `disk.identity` is about. Changes nothing. The identity comes from a
/// peer and is checked before any path is made of it.
bool sees_same_storage(const Disk& disk);

/// The token files that this host has made. Each goes away when it is withdrawn, or with this object; what
/// others ask about the same VM at the same time, or a minute later, has tokens of its own. Thread-safe.
class StorageTokens {
 public:
  StorageTokens() = default;
  ~StorageTokens();
  StorageTokens(const StorageTokens&) = delete;
  StorageTokens& operator=(const StorageTokens&) = delete;

  /// Makes tokens for the identities that these disks have been given.
  Result<> publish(const std::vector<Disk>& disks);
  void withdraw(const std::vector<Disk>& disks);

 private:
  std::mutex mutex_;
  std::map<std::string, std::string> paths_;  // by identity
};

}  // namespace vmigrate::hypervisor
