#pragma once

#include <set>

namespace vmigrate::peer {

/// Whether a link of several connections is lost. What breaks a link breaks all of them, but each finds out
/// for itself, so that one may be back before the next has noticed: it is one outage, until all that were
/// lost are back and each of the others was heard since it began. Not thread-safe.
class Outage {
 public:
  /// True: it begins.
  bool lost(int connection) {
    present_.erase(connection);
    unheard_.erase(connection);
    lost_.insert(connection);
    if (lasts_) return false;
    unheard_ = present_;
    return lasts_ = true;
  }
  /// For the first time or again. True: it is over.
  bool came(int connection) {
    lost_.erase(connection);
    present_.insert(connection);
    return ends();
  }
  /// True: it is over.
  bool heard(int connection) {
    unheard_.erase(connection);
    return ends();
  }
  /// It has carried all that it was to carry. True: the outage is over.
  bool ended(int connection) {
    present_.erase(connection);
    return heard(connection);
  }
  /// It will not come back, nor will the session.
  void gone(int connection) {
    present_.erase(connection);
    unheard_.erase(connection);
    lost_.erase(connection);
  }
  bool waits_for_word() const { return !unheard_.empty(); }

 private:
  bool ends() {
    if (!lasts_ || !lost_.empty() || !unheard_.empty()) return false;
    lasts_ = false;
    return true;
  }

  std::set<int> present_{0};
  std::set<int> lost_;
  std::set<int> unheard_;  // since it began, of those that are present
  bool lasts_ = false;
};

}  // namespace vmigrate::peer
