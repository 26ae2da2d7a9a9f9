#include "announce/leases.hpp"

#include <cstdint>
#include <fstream>

#include <nlohmann/json.hpp>

namespace vmigrate::announce {
namespace {

constexpr std::size_t kMostBytes = 1024UL * 1024;

std::string text_in(const nlohmann::json& lease, const char* key) {
  const auto found = lease.find(key);
  return found != lease.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

bool has_expired(const nlohmann::json& lease, std::chrono::seconds now) {
  const auto expiry = lease.find("expiry-time");
  if (expiry == lease.end() || !expiry->is_number_integer()) return false;
  const auto seconds = expiry->get<std::int64_t>();
  return seconds != 0 && seconds < now.count();
}

}  // namespace

std::vector<IpAddress> leases_in(std::string_view status, const MacAddress& mac, std::chrono::seconds now) {
  std::vector<IpAddress> found;
  const auto leases = nlohmann::json::parse(status, nullptr, false);
  if (!leases.is_array()) return found;
  for (const auto& lease : leases) {
    if (!lease.is_object() || has_expired(lease, now)) continue;
    const auto holder = MacAddress::parse(text_in(lease, "mac-address"));
    const auto address = parse_announceable(text_in(lease, "ip-address"));
    if (holder && *holder == mac && address) remember(found, *address);
  }
  return found;
}

std::vector<IpAddress> leases_of(const std::string& directory, const std::string& bridge,
                                 const MacAddress& mac, std::chrono::seconds now) {
  if (bridge.empty() || bridge.find('/') != std::string::npos) return {};
  std::ifstream file(directory + "/" + bridge + ".status", std::ios::binary);
  std::string text(kMostBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(file.gcount()));
  if (text.size() > kMostBytes) return {};
  return leases_in(text, mac, now);
}

}  // namespace vmigrate::announce
