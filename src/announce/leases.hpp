#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "announce/addresses.hpp"

namespace vmigrate::announce {

/// The addresses that libvirt's dnsmasq has leased to `mac`, from the text of a network's status file: a JSON
/// array of objects with "mac-address", "ip-address" and "expiry-time" (seconds since 1970; 0: never), as
/// libvirt's lease helper writes it. What does not read as one has no leases.
std::vector<IpAddress> leases_in(std::string_view status, const MacAddress& mac, std::chrono::seconds now);

/// The same from `<directory>/<bridge>.status`; empty when there is no such file or it is over 1 MiB.
std::vector<IpAddress> leases_of(const std::string& directory, const std::string& bridge,
                                 const MacAddress& mac, std::chrono::seconds now);

}  // namespace vmigrate::announce
