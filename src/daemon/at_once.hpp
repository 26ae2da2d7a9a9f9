#pragma once

#include <future>
#include <vector>

namespace vmigrate::daemon {

/// The results, in the order of the items: what may take each of several hosts seconds to time out is done
/// for all of them at a time.
template <class Item, class Function>
auto for_each_at_once(const std::vector<Item>& items, Function function) {
  std::vector<std::future<decltype(function(items.front()))>> running;
  running.reserve(items.size());
  for (const auto& item : items) running.push_back(std::async(std::launch::async, function, item));
  std::vector<decltype(function(items.front()))> results;
  results.reserve(items.size());
  for (auto& future : running) results.push_back(future.get());
  return results;
}

}  // namespace vmigrate::daemon
