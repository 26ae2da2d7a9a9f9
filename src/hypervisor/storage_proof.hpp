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

/// The token files that this host has made. Each goes away when it is withdrawn, when it is older than the
/// patience of any destination, or with this object. Thread-safe.
class StorageTokens {
 public:
  StorageTokens() = default;
  ~StorageTokens();
  StorageTokens(const StorageTokens&) = delete;
  StorageTokens& operator=(const StorageTokens&) = delete;

  /// Makes the tokens for a VM's disks. Those of an earlier call for this VM are withdrawn.
  Result<> publish(const VmId& vm, const std::vector<Disk>& disks);
  void withdraw(const VmId& vm);

 private:
  std::mutex mutex_;
  std::map<VmId, std::vector<std::string>> paths_;
};

}  // namespace vmigrate::hypervisor
