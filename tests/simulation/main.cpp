// Runs schedules by the thousand, and single ones with everything that happens in them: docs/simulation.md.
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <iostream>

#include <CLI/CLI.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "schedule.hpp"

namespace vmigrate::simulation {
namespace {

constexpr std::uint64_t kRepeat = 64;

struct Request {
  std::uint64_t schedules = 1'000;
  std::uint64_t seed = 1;
  Mutation mutation = Mutation::none;
  bool expects_violation = false;
  bool verbose = false;
};

struct Count {
  std::uint64_t schedules = 0;
  std::uint64_t failed = 0;
  std::uint64_t kills = 0;
  std::uint64_t moved = 0;
  std::uint64_t decided = 0;
};

/// In memory: what is in it is made and removed some hundred thousand times.
std::string make_folder() {
  std::string pattern = "/dev/shm/vmigrate-simulation-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) {
    pattern = (std::filesystem::temp_directory_path() / "vmigrate-simulation-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr)
      throw std::system_error(errno, std::generic_category(), pattern);
  }
  return pattern;
}

void tell_failure(const Request& request, std::uint64_t seed, const std::string& violation) {
  const auto mutation =
      request.mutation == Mutation::none ? "" : fmt::format(" --mutation {}", name_of(request.mutation));
  std::cout << fmt::format("seed {}: {}\n  to see how: simulation --seed {} --schedules 1 --verbose{}\n",
                           seed, violation, seed, mutation)
            << std::flush;
}

Count run_schedules(const Request& request) {
  Count count;
  Options options;
  options.mutation = request.mutation;
  options.folder = make_folder();
  if (request.verbose) options.listener = [](std::string_view line) { std::cout << line << std::endl; };
  for (auto seed = request.seed; seed < request.seed + request.schedules; ++seed) {
    auto outcome = run_schedule(seed, options);
    // A schedule is what its seed says, or nothing could be replayed.
    if (seed % kRepeat == 0 && run_schedule(seed, options).trace_sum != outcome.trace_sum)
      outcome.violation = "it goes another way each time";
    ++count.schedules;
    count.kills += outcome.kills;
    count.moved += outcome.moved ? 1 : 0;
    count.decided += outcome.decided ? 1 : 0;
    if (!outcome.violation) continue;
    ++count.failed;
    tell_failure(request, seed, *outcome.violation);
    if (request.expects_violation) break;
  }
  std::filesystem::remove_all(options.folder);
  return count;
}

int run(int argc, char** argv) {
  CLI::App app("Simulates moves between two hosts, with faults that a seed chooses.", "simulation");
  Request request;
  std::string mutation = "none";
  app.add_option("--schedules", request.schedules, "how many")->capture_default_str();
  app.add_option("--seed", request.seed, "of the first")->capture_default_str();
  app.add_option("--mutation", mutation, "a rule to break: see tests/simulation/mutation.hpp");
  app.add_flag("--expect-violation", request.expects_violation, "succeed only if there is one; stop there");
  app.add_flag("--verbose", request.verbose, "everything that happens, and the daemons' own logs");
  CLI11_PARSE(app, argc, argv);
  if (const auto known = mutation_of(mutation); known) {
    request.mutation = *known;
  } else {
    std::cerr << "there is no mutation " << mutation << '\n';
    return EXIT_FAILURE;
  }
  spdlog::set_level(request.verbose ? spdlog::level::debug : spdlog::level::off);
  const auto count = run_schedules(request);
  std::cout << fmt::format(
      "{} schedules from seed {}: {} failed; {} daemons killed, {} moved at once, {} decided by a person\n",
      count.schedules, request.seed, count.failed, count.kills, count.moved, count.decided);
  return (count.failed > 0) == request.expects_violation ? EXIT_SUCCESS : EXIT_FAILURE;
}

}  // namespace
}  // namespace vmigrate::simulation

int main(int argc, char** argv) {
  return vmigrate::simulation::run(argc, argv);
}
