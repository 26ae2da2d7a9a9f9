#include "daemon/api.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "base/text.hpp"
#include "control/framing.hpp"
#include "daemon/at_once.hpp"
#include "daemon/experience.hpp"
#include "daemon/known_hosts.hpp"
#include "daemon/report_proto.hpp"
#include "vmigrate_version.hpp"

namespace vmigrate::daemon {
namespace {

control::Response migration_response(control::Migration migration) {
  control::Response response;
  *response.mutable_migration() = std::move(migration);
  return response;
}

constexpr const char* kSameVersion = "are vmigrate and migrated of the same version? see: vmigrate version";
// The longest file name, which is what libvirt makes of a VM's name.
constexpr std::size_t kLongestName = 255;
// The newest ones, for a forecast.
constexpr std::uint32_t kMovesToLearnFrom = 200;
// Each is asked by a thread of its own.
constexpr int kMostHostsAtOnce = 256;
// A field number and a length; the same around the whole list, twice.
constexpr std::size_t kListItemOverhead = 16;

Result<> check_name(const std::string& name) {
  if (name.size() <= kLongestName) return {};
  return fail(ErrorCode::usage, fmt::format("a name of {} characters: no VM or host has one", name.size()));
}

/// Before anything is looked up, kept or repeated in a message.
Result<> check_limits(const control::Request& request) {
  switch (request.request_case()) {
    case control::Request::kStart:
      return check_name(request.start().vm()).and_then([&] { return check_name(request.start().host()); });
    case control::Request::kCheck: break;
    case control::Request::kShow: return check_name(request.show().vm_or_id());
    case control::Request::kWatch: return check_name(request.watch().vm_or_id());
    case control::Request::kCancel: return check_name(request.cancel().vm_or_id());
    case control::Request::kHistory: return check_name(request.history().vm());
    case control::Request::kResolve:
      return check_name(request.resolve().vm()).and_then([&] {
        return check_name(request.resolve().fenced_host());
      });
    case control::Request::kPair:
      return check_name(request.pair().host()).and_then([&] { return check_name(request.pair().address()); });
    case control::Request::kRemovePeer: return check_name(request.remove_peer().host());
    case control::Request::kAudit:
      return check_name(request.audit().vm()).and_then([&] { return check_name(request.audit().user()); });
    default: return {};
  }
  if (request.check().hosts_size() > kMostHostsAtOnce) {
    return fail(ErrorCode::usage, fmt::format("a check of {} hosts at once: at most {} are possible",
                                              request.check().hosts_size(), kMostHostsAtOnce));
  }
  auto good = check_name(request.check().vm());
  for (const auto& host : request.check().hosts()) {
    if (good) good = check_name(host);
  }
  return good;
}

bool has_ended(const control::Migration& migration) {
  return migration::has_ended(static_cast<migration::Phase>(migration.phase()));
}

}  // namespace

Result<> acceptable(const Configuration& configuration, const control::Request& request,
                    const control::Caller& caller) {
  if (auto good = check_limits(request); !good) return good;
  auto allowed = permits(configuration, request, caller);
  if (!allowed) spdlog::warn("refused: {}", allowed.error().message);
  return allowed;
}

control::Response error_response(const Error& error, std::string vm_state) {
  control::Response response;
  *response.mutable_error() = to_proto(error, std::move(vm_state));
  return response;
}

void Api::handle(const control::Request& request, const control::Caller& caller,
                 std::shared_ptr<control::Responder> responder) {
  const auto answer = [&](Answer result, const std::string& vm = {}) {
    responder->finish(result ? std::move(*result)
                             : error_response(result.error(), vm.empty() ? "" : whereabouts(vm)));
  };
  if (const auto good = acceptable(parts_.configuration, request, caller); !good)
    return answer(fail(good.error()));
  switch (request.request_case()) {
    case control::Request::kStart: return start(request.start(), caller, responder);
    case control::Request::kWatch: return watch(request.watch(), responder);
    case control::Request::kCancel: return cancel(request.cancel(), responder);
    case control::Request::kCheck: return answer(check(request.check()), request.check().vm());
    case control::Request::kList: return answer(list());
    case control::Request::kShow: return answer(show(request.show()));
    case control::Request::kHistory: return answer(history(request.history()));
    case control::Request::kHosts: return answer(hosts());
    case control::Request::kDoctor: return answer(doctor());
    case control::Request::kVersion: return answer(version());
    case control::Request::kResolve: return answer(resolve(request.resolve()), request.resolve().vm());
    case control::Request::kPair: return pair(request.pair(), caller, responder);
    case control::Request::kPeers: return answer(peers());
    case control::Request::kRemovePeer: return answer(remove_peer(request.remove_peer(), caller));
    // Of the trail, which AuditedApi answers for.
    case control::Request::kAudit:
    case control::Request::kAuditVerify:
    case control::Request::REQUEST_NOT_SET: break;
  }
  answer(fail(ErrorCode::usage, "migrated does not know this request", kSameVersion));
}

// --- Migrations
// ---------------------------------------------------------------------------------------------

void Api::start(const control::Start& request, const control::Caller& caller,
                const std::shared_ptr<control::Responder>& responder) {
  if (request.on_stall() < control::ON_STALL_UNSPECIFIED || request.on_stall() > control::ON_STALL_PAUSE) {
    return responder->finish(error_response(
        {ErrorCode::usage, "migrated does not know what to do then with a VM that cannot converge",
         kSameVersion},
        whereabouts(request.vm())));
  }
  // What is kept from running nearly all the time is as good as paused, and that is on_stall's to decide.
  constexpr Percent most_slowdown{90};
  if (Percent{request.max_slowdown_percent()} > most_slowdown) {
    return responder->finish(error_response(
        {ErrorCode::usage,
         fmt::format("a VM can be slowed by at most {}, not {}", vmigrate::to_string(most_slowdown),
                     vmigrate::to_string(Percent{request.max_slowdown_percent()})),
         ""},
        whereabouts(request.vm())));
  }
  migration::StartOptions options;
  options.host = request.host();
  options.max_pause = request.max_pause_ms() == 0 ? parts_.configuration.migration.max_pause
                                                  : Milliseconds(request.max_pause_ms());
  options.bandwidth =
      request.bandwidth() == 0 ? parts_.configuration.migration.bandwidth : Rate{request.bandwidth()};
  options.keep_source_definition = request.keep_source_definition();
  if (request.finish_by_ms() > 0) options.finish_by = Milliseconds(request.finish_by_ms());
  if (request.on_stall() == control::ON_STALL_PAUSE) options.on_stall = pacing::OnStall::pause;
  options.max_slowdown = Percent{request.max_slowdown_percent()};
  options.requested_by = fmt::format("{} (uid {})", caller.user, caller.uid);
  const auto migration = parts_.manager.start(request.vm(), std::move(options));
  if (!migration) return responder->finish(error_response(migration.error(), whereabouts(request.vm())));
  spdlog::info("{} to {} asked for by {} (uid {})", request.vm(), request.host(), caller.user, caller.uid);
  if (request.wait()) return follow(migration->text(), responder, false);
  auto now = parts_.board.find(migration->text());
  responder->finish(now ? migration_response(std::move(*now)) : error_response(now.error(), ""));
}

void Api::watch(const control::Show& request, const std::shared_ptr<control::Responder>& responder) {
  auto migration = parts_.board.find(request.vm_or_id());
  if (!migration) return responder->finish(error_response(migration.error(), ""));
  follow(migration->id(), responder, false);
}

void Api::cancel(const control::Show& request, const std::shared_ptr<control::Responder>& responder) {
  const auto migration = parts_.board.find(request.vm_or_id());
  if (!migration) return responder->finish(error_response(migration.error(), ""));
  const std::string runs_on =
      migration->vm_runs_on().empty() ? "" : migration->vm() + " runs on " + migration->vm_runs_on();
  if (has_ended(*migration)) {
    return responder->finish(error_response(
        {ErrorCode::refused, fmt::format("the migration of {} is over already", migration->vm()), ""},
        runs_on));
  }
  const auto id = MigrationId::parse(migration->id());
  const auto cancelled = id ? parts_.manager.cancel(*id) : Result<>(fail(id.error()));
  if (!cancelled) return responder->finish(error_response(cancelled.error(), runs_on));
  follow(migration->id(), responder, true);
}

void Api::follow(const std::string& migration, const std::shared_ptr<control::Responder>& responder,
                 bool only_the_end) {
  const auto number = parts_.board.new_watch();
  responder->on_disconnect([&board = parts_.board, number] { board.unwatch(number); });
  const auto tell = [responder, only_the_end](const control::Migration& report) {
    if (has_ended(report)) return responder->finish(migration_response(report));
    if (!only_the_end) responder->send(migration_response(report));
  };
  if (auto now = parts_.board.watch(migration, number, tell)) {
    if (!only_the_end) responder->send(migration_response(std::move(*now)));
    return;
  }
  auto past = parts_.board.find(migration);
  responder->finish(past ? migration_response(std::move(*past)) : error_response(past.error(), ""));
}

Api::Answer Api::show(const control::Show& request) const {
  return parts_.board.find(request.vm_or_id()).map(migration_response);
}

Api::Answer Api::history(const control::History& request) {
  auto past = parts_.history.list(request.limit(), request.vm());
  if (!past) return fail(past.error());
  control::Response response;
  auto* list = response.mutable_migrations();
  std::size_t size = 0;
  for (auto& migration : *past) {
    // Fewer are of more use than an answer that is too long to be sent.
    size += migration.ByteSizeLong() + kListItemOverhead;
    if (size > control::kLongestMessage - kListItemOverhead) break;
    *list->add_migrations() = std::move(migration);
  }
  return response;
}

Api::Answer Api::resolve(const control::Resolve& request) {
  const auto migration = parts_.board.find(request.vm());
  if (!migration) return fail(migration.error());
  const auto id = MigrationId::parse(migration->id());
  if (!id) return fail(id.error());
  const bool in_doubt = migration->phase() == control::NEEDS_ATTENTION;
  // Said of a handover that goes well, it would make two copies.
  if (!in_doubt && migration->phase() != control::COMPLETED) {
    return fail(ErrorCode::not_found, fmt::format("nothing is in doubt on {} about {}",
                                                  parts_.configuration.host.name, migration->vm()));
  }
  auto resolved = in_doubt ? parts_.manager.resolve(*id, request.fenced_host())
                           : parts_.manager.take_back(*id, request.fenced_host());
  if (!resolved) return fail(resolved.error());
  return parts_.board.find(migration->id()).map(migration_response);
}

// --- VMs and hosts
// ------------------------------------------------------------------------------------------

Api::Answer Api::check(const control::Check& request) {
  const auto domain = parts_.hypervisor.describe(request.vm());
  if (!domain) return fail(domain.error());
  std::vector<std::string> hosts(request.hosts().begin(), request.hosts().end());
  if (hosts.empty()) {
    for (const auto& [name, host] : known_hosts(parts_.configuration, parts_.trust.peers))
      hosts.push_back(name);
  }
  if (hosts.empty()) {
    return fail(ErrorCode::not_found, "no other host is known here", "vmigrate pair HOST makes one known");
  }
  const std::string runs_here = whereabouts(*domain);
  // A history that cannot be read makes no move impossible; there is just no forecast then.
  const auto history = parts_.history.list(kMovesToLearnFrom, "").value_or(std::vector<control::Migration>());
  control::Response response;
  auto* report = response.mutable_check();
  report->set_vm(domain->name);
  for (auto& host : for_each_at_once(hosts, [&](const std::string& name) {
         control::HostCheck result;
         result.set_host(name);
         result.set_memory_total(domain->memory.count);
         const auto findings = parts_.manager.check(*domain, name);
         result.set_possible(findings && findings->empty());
         if (result.possible()) add_forecast(history, domain->id.text(), &result);
         if (!findings) {
           *result.add_findings() = to_proto(findings.error(), runs_here);
         } else {
           for (const auto& finding : *findings) {
             *result.add_findings() = to_proto({finding.code, finding.what, finding.hint}, runs_here);
           }
         }
         return result;
       })) {
    *report->add_hosts() = std::move(host);
  }
  return response;
}

Api::Answer Api::list() {
  const auto domains = parts_.hypervisor.list();
  if (!domains) return fail(domains.error());
  auto active = parts_.board.active();
  control::Response response;
  auto* list = response.mutable_vms();
  for (const auto& domain : *domains) {
    auto* vm = list->add_vms();
    vm->set_name(domain.name);
    vm->set_id(domain.id.text());
    vm->set_state(std::string(hypervisor::to_string(domain.state)));
    for (const auto& migration : active) {
      if (migration.vm_id() != domain.id.text()) continue;
      *vm->mutable_migration() = migration;
      if (migration.phase() == control::NEEDS_ATTENTION) vm->set_state("needs attention");
    }
  }
  return response;
}

Api::Answer Api::hosts() {
  const auto known = known_hosts(parts_.configuration, parts_.trust.peers);
  std::vector<std::string> names;
  for (const auto& [name, host] : known) names.push_back(name);
  control::Response response;
  auto* list = response.mutable_hosts();
  for (auto& host : for_each_at_once(names, [&](const std::string& name) {
         control::Host result;
         result.set_name(name);
         result.set_address(known.at(name).address);
         const auto before = std::chrono::steady_clock::now();
         const auto version = parts_.manager.ping(name);
         const auto took = std::chrono::steady_clock::now() - before;
         result.set_reachable(version.has_value());
         result.set_round_trip_us(
             static_cast<std::uint32_t>(std::chrono::duration_cast<std::chrono::microseconds>(took).count()));
         if (version)
           result.set_version(*version);
         else
           result.set_problem(valid_utf8(version.error().message));
         return result;
       })) {
    *list->add_hosts() = std::move(host);
  }
  return response;
}

Api::Answer Api::doctor() {
  control::Response response;
  *response.mutable_doctor() = parts_.doctor.examine();
  return response;
}

Api::Answer Api::version() const {
  control::Response response;
  auto* version = response.mutable_version();
  version->set_version(kVersion);
  version->set_hypervisor(parts_.doctor.hypervisor_version());
  return response;
}

std::string Api::whereabouts(const std::string& vm) {
  const auto domain = parts_.hypervisor.describe(vm);
  return domain ? whereabouts(*domain) : std::string();
}

std::string Api::whereabouts(const hypervisor::DomainDescription& domain) const {
  const bool runs = domain.state == hypervisor::DomainState::running;
  return fmt::format("{} {} on {}", domain.name,
                     runs ? "runs" : fmt::format("is {}", hypervisor::to_string(domain.state)),
                     parts_.configuration.host.name);
}

}  // namespace vmigrate::daemon
