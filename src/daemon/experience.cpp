#include "daemon/experience.hpp"

#include <algorithm>

namespace vmigrate::daemon {
namespace {

bool is_a_move_to(const control::Migration& migration, const std::string& host) {
  return migration.role() == control::SOURCE && migration.phase() == control::COMPLETED &&
         migration.destination_host() == host && migration.has_receipt();
}

}  // namespace

void add_forecast(const std::vector<control::Migration>& history, const std::string& vm_id,
                  control::HostCheck* host) {
  const control::Migration* like = nullptr;
  for (const auto& migration : history) {
    if (!is_a_move_to(migration, host->host())) continue;
    const bool same_vm = migration.vm_id() == vm_id;
    if (like == nullptr || same_vm) like = &migration;
    if (same_vm) break;
  }
  if (like == nullptr) return;
  const auto& receipt = like->receipt();
  double scale = 1;
  if (like->vm_id() != vm_id && receipt.guest_bytes() > 0) {
    scale = static_cast<double>(host->memory_total()) / static_cast<double>(receipt.guest_bytes());
  }
  constexpr double longest = 86'400'000;  // beyond a day a forecast is no longer one
  host->set_forecast_total_ms(
      static_cast<std::uint32_t>(std::min(longest, static_cast<double>(receipt.total_ms()) * scale)));
  host->set_forecast_pause_ms(receipt.pause_ms());
}

}  // namespace vmigrate::daemon
