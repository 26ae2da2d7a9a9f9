#pragma once

#include <compare>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.hpp"

namespace vmigrate {

/// A UUID in its canonical text form (36 characters, lower case). `Tag` keeps VMs and migrations apart.
template <class Tag>
class Uuid {
 public:
  Uuid() = default;
  /// Refuses everything but the canonical form; upper case is folded. It ends up in file names.
  static Result<Uuid> parse(std::string_view text);
  static Uuid random();

  const std::string& text() const { return text_; }
  bool empty() const { return text_.empty(); }
  auto operator<=>(const Uuid&) const = default;

 private:
  std::string text_;
};

struct VmTag {};
struct MigrationTag {};

/// Which VM: libvirt's domain UUID.
using VmId = Uuid<VmTag>;
/// Which migration: made by the source, the same on both hosts.
using MigrationId = Uuid<MigrationTag>;

/// The first eight digits, for people: enough to name one of a day's migrations.
std::string short_form(const MigrationId& id);

}  // namespace vmigrate

template <class Tag>
struct std::hash<vmigrate::Uuid<Tag>> {
  std::size_t operator()(const vmigrate::Uuid<Tag>& id) const noexcept {
    return std::hash<std::string>{}(id.text());
  }
};
