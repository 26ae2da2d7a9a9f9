#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <vector>

#include <linux/kvm.h>

namespace vmigrate::kvm {

// The kernel's own structures for these end in a flexible array. Its header declares that in a way that makes
// them larger in C++ than in C, and with them the requests' numbers, which have the size in them. So here are
// the heads by themselves, and the numbers as C has them.
struct CpuidHead {
  std::uint32_t count = 0;
  std::uint32_t padding = 0;
};
struct MsrHead {
  std::uint32_t count = 0;
  std::uint32_t padding = 0;
};
struct MsrListHead {
  std::uint32_t count = 0;
};
inline constexpr std::size_t kXsaveSize = 4096;
struct Xsave {
  std::byte region[kXsaveSize];
};

inline constexpr unsigned long kGetMsrIndexList = _IOWR(KVMIO, 0x02, MsrListHead);
inline constexpr unsigned long kGetSupportedCpuid = _IOWR(KVMIO, 0x05, CpuidHead);
inline constexpr unsigned long kGetMsrFeatureIndexList = _IOWR(KVMIO, 0x0a, MsrListHead);
inline constexpr unsigned long kGetMsrs = _IOWR(KVMIO, 0x88, MsrHead);
inline constexpr unsigned long kSetMsrs = _IOW(KVMIO, 0x89, MsrHead);
inline constexpr unsigned long kSetCpuid2 = _IOW(KVMIO, 0x90, CpuidHead);
inline constexpr unsigned long kGetCpuid2 = _IOWR(KVMIO, 0x91, CpuidHead);
inline constexpr unsigned long kGetXsave = _IOR(KVMIO, 0xa4, Xsave);
inline constexpr unsigned long kSetXsave = _IOW(KVMIO, 0xa5, Xsave);
inline constexpr unsigned long kGetXsave2 = _IOR(KVMIO, 0xcf, Xsave);

/// A structure of KVM that is followed by as many entries as it says.
template <class Head, class Entry>
class Counted {
 public:
  explicit Counted(std::size_t entries) : bytes_(sizeof(Head) + entries * sizeof(Entry)) {
    head()->count = static_cast<std::uint32_t>(entries);
  }

  Head* head() { return reinterpret_cast<Head*>(bytes_.data()); }
  void put(const Entry* entries, std::size_t count) {
    std::memcpy(bytes_.data() + sizeof(Head), entries, count * sizeof(Entry));
  }
  std::vector<Entry> take(std::size_t count) const {
    std::vector<Entry> entries(count);
    std::memcpy(entries.data(), bytes_.data() + sizeof(Head), count * sizeof(Entry));
    return entries;
  }

 private:
  std::vector<std::byte> bytes_;  // operator new aligns for both
};

}  // namespace vmigrate::kvm
