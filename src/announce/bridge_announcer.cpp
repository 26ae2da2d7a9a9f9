#include "announce/bridge_announcer.hpp"

#include <chrono>
#include <utility>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "announce/frame_injector.hpp"
#include "announce/frames.hpp"
#include "announce/kernel_tables.hpp"
#include "announce/leases.hpp"
#include "announce/netlink.hpp"
#include "base/thread_name.hpp"

namespace vmigrate::announce {
namespace {

constexpr std::uint16_t kLastVlan = 4094;

std::vector<IpAddress> announceable(const std::vector<std::string>& addresses) {
  std::vector<IpAddress> result;
  for (const std::string& text : addresses) {
    if (const auto address = parse_announceable(text)) remember(result, *address);
  }
  return result;
}

std::vector<std::string> to_strings(const std::vector<IpAddress>& addresses) {
  std::vector<std::string> texts;
  texts.reserve(addresses.size());
  for (const IpAddress& address : addresses) texts.push_back(to_string(address));
  return texts;
}

Result<> send(NetlinkSocket& kernel, const Announcement& announcement) {
  if (auto moved = point_forwarding_entry(kernel, announcement.where, announcement.mac); !moved) return moved;
  FrameInjector injector;
  for (const ByteBuffer& frame : announcement.frames) {
    if (auto sent = injector.inject(announcement.where, frame); !sent) return sent;
  }
  return {};
}

/// False when the VM's port is not there any more: it has stopped or left.
bool send_again(const Announcement& announcement) {
  auto kernel = NetlinkSocket::open();
  if (!kernel) return true;
  const auto where = find_bridge_port(*kernel, announcement.bridge, announcement.tap);
  if (!where || *where != announcement.where) return false;
  if (auto sent = send(*kernel, announcement); !sent) {
    spdlog::debug("announcing {} again: {}", to_string(announcement.mac), sent.error().message);
  }
  return true;
}

std::chrono::seconds seconds_since_1970() {
  return std::chrono::duration_cast<std::chrono::seconds>(
      std::chrono::system_clock::now().time_since_epoch());
}

}  // namespace

BridgeAnnouncer::BridgeAnnouncer(BridgeAnnouncerOptions options)
    : options_(std::move(options)), repetitions_(options_.schedule), thread_([this] { repeat(); }) {
}

BridgeAnnouncer::~BridgeAnnouncer() {
  {
    std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

std::vector<Result<Announced>> BridgeAnnouncer::announce(std::vector<Interface> interfaces) {
  std::vector<Result<Announced>> results;
  for (const Interface& interface : interfaces) {
    auto result = announce_one(interface);
    if (!result) result = fail(result.error().in(fmt::format("cannot announce {}", interface.mac)));
    results.push_back(std::move(result));
  }
  return results;
}

Result<Announced> BridgeAnnouncer::announce_one(const Interface& interface) {
  const auto mac = MacAddress::parse(interface.mac);
  if (!mac) return fail(mac.error());
  if (interface.vlan > kLastVlan)
    return fail(ErrorCode::usage, fmt::format("there is no VLAN {}", interface.vlan));
  auto kernel = NetlinkSocket::open();
  if (!kernel) return fail(kernel.error());
  const auto where = find_bridge_port(*kernel, interface.bridge, interface.tap);
  if (!where) return fail(where.error());

  const auto addresses = announceable(interface.addresses);
  Announcement announcement{*mac, interface.bridge, interface.tap, *where,
                            announcement_frames(*mac, addresses, interface.vlan)};
  const auto frames = static_cast<std::uint32_t>(announcement.frames.size());
  std::lock_guard lock(mutex_);
  const auto sent = send(*kernel, announcement);
  repetitions_.add(std::move(announcement), std::chrono::steady_clock::now());
  changed_.notify_all();
  if (!sent) return fail(sent.error());
  return Announced{.mac = to_string(*mac), .frames = frames, .addresses = to_strings(addresses)};
}

void BridgeAnnouncer::repeat() {
  name_this_thread("vmig-announce");
  std::unique_lock lock(mutex_);
  while (!stopping_) {
    if (!retired_observers_.empty()) {
      auto retired = std::exchange(retired_observers_, {});
      lock.unlock();
      retired.clear();
      lock.lock();
      continue;
    }
    if (const auto next = repetitions_.next()) {
      changed_.wait_until(lock, *next);
    } else {
      changed_.wait(lock);
    }
    if (stopping_) return;
    for (const Announcement& announcement : repetitions_.take_due(std::chrono::steady_clock::now())) {
      if (!send_again(announcement)) repetitions_.remove(announcement.mac);
    }
  }
}

std::vector<std::string> BridgeAnnouncer::addresses_of(const std::string& mac, const std::string& bridge) {
  const auto parsed = MacAddress::parse(mac);
  if (!parsed) return {};
  std::vector<IpAddress> known;
  {
    std::lock_guard lock(mutex_);
    if (const auto observer = observers_.find(*parsed); observer != observers_.end()) {
      known = observer->second->addresses();
    }
  }
  const auto add = [&known](const std::vector<IpAddress>& addresses) {
    for (const IpAddress& address : addresses) remember(known, address);
  };
  add(leases_of(options_.lease_directory, bridge, *parsed, seconds_since_1970()));
  if (auto kernel = NetlinkSocket::open()) {
    const auto link = find_link(*kernel, bridge);
    if (link && *link) add(neighbours(*kernel, (*link)->index, *parsed).value_or(std::vector<IpAddress>{}));
  }
  return to_strings(known);
}

Result<> BridgeAnnouncer::observe(const Interface& interface) {
  const auto mac = MacAddress::parse(interface.mac);
  if (!mac) return fail(mac.error());
  auto observer = AddressObserver::start(interface.tap, *mac);
  if (!observer) return fail(observer.error());
  std::lock_guard lock(mutex_);
  observers_[*mac] = std::move(*observer);
  return {};
}

void BridgeAnnouncer::forget(const std::string& mac) {
  const auto parsed = MacAddress::parse(mac);
  if (!parsed) return;
  std::lock_guard lock(mutex_);
  repetitions_.remove(*parsed);
  if (auto observer = observers_.extract(*parsed)) {
    retired_observers_.push_back(std::move(observer.mapped()));
    changed_.notify_all();
  }
}

}  // namespace vmigrate::announce
