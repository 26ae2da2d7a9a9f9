#include <filesystem>
#include <fstream>
#include <iostream>

#include <google/protobuf/stubs/logging.h>

#include "fuzz.hpp"

namespace {

constexpr std::string_view kSeeds = "--seeds=";

void write_seeds(const std::filesystem::path& folder) {
  int number = 0;
  for (const auto& seed : vmigrate::fuzz::seeds()) {
    std::ofstream file(folder / ("seed-" + std::to_string(number++)), std::ios::binary);
    file.write(reinterpret_cast<const char*>(seed.data()), static_cast<std::streamsize>(seed.size()));
    if (!file.flush()) {
      std::cerr << "cannot write seeds to " << folder << '\n';
      std::exit(1);
    }
  }
}

}  // namespace

/// `--seeds=FOLDER` writes the seeds there, in place of a search.
extern "C" int LLVMFuzzerInitialize(const int* count, char*** arguments) {
  for (int i = 1; i < *count; ++i) {
    const std::string_view argument = (*arguments)[i];
    if (!argument.starts_with(kSeeds)) continue;
    write_seeds(argument.substr(kSeeds.size()));
    std::exit(0);
  }
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vmigrate::fuzz::check({reinterpret_cast<const std::byte*>(data), size});
  return 0;
}
