#include "cli/follow.hpp"

#include <array>
#include <cerrno>

#include <fmt/format.h>
#include <poll.h>

#include "cli/render.hpp"
#include "cli/words.hpp"

namespace vmigrate::cli {

using std::chrono::steady_clock;

Follower::Follower(const Context& context, FollowOptions options, Interrupts interrupts)
    : context_(context), options_(std::move(options)), interrupts_(std::move(interrupts)) {
  display_.emplace(context_);
  vm_ = options_.vm;
}

int Follower::run(const control::Request& request) {
  auto client = control::Client::connect(context_.socket);
  if (!client) return report_error(context_, client.error());
  if (auto sent = client->send(request); !sent) return report_error(context_, sent.error());
  reports_ = std::move(*client);
  while (true) {
    if (const auto code = read_reports()) return *code;
    if (const auto code = wait()) return *code;
  }
}

std::optional<int> Follower::wait() {
  std::array<pollfd, 3> waiting{
      {{.fd = reports_->descriptor(), .events = POLLIN, .revents = 0},
       {.fd = interrupts_.descriptor(), .events = POLLIN, .revents = 0},
       {.fd = cancel_ ? cancel_->descriptor() : -1, .events = POLLIN, .revents = 0}}};
  int patience = -1;
  if (attention_until_) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(*attention_until_ - steady_clock::now());
    if (left.count() <= 0) return conclude();
    patience = static_cast<int>(left.count());
  }
  if (::poll(waiting.data(), waiting.size(), patience) < 0 && errno != EINTR) {
    return lost(fail_errno("cannot wait", errno).value());
  }
  if (interrupts_.take()) {
    if (const auto code = on_interrupt()) return code;
  }
  if (cancel_) read_cancel_answer();
  return std::nullopt;
}

std::optional<int> Follower::read_reports() {
  while (true) {
    const auto response = reports_->receive_arrived();
    if (!response) return lost(response.error());
    if (!*response) return reports_->finished() ? std::optional(conclude()) : std::nullopt;
    if ((*response)->has_error()) {
      display_.reset();
      return report_error(context_, (*response)->error());
    }
    if ((*response)->has_migration()) {
      if (const auto code = on_report((*response)->migration())) return code;
    }
  }
}

std::optional<int> Follower::on_report(const control::Migration& report) {
  migration_ = report;
  auto shown = report;
  make_printable(&shown);
  vm_ = shown.vm();
  display_->show(shown);
  if (has_ended(report.phase())) return conclude();
  if (context_.format == Format::ndjson) print_result(context_, report, "");
  if (report.phase() != control::NEEDS_ATTENTION)
    attention_until_.reset();
  else if (!attention_until_)
    attention_until_ = steady_clock::now() + options_.attention_patience;
  // Ctrl-C may have come before there was anything to cancel.
  if (interrupted_ && !cancel_sent_) ask_for_cancel();
  return std::nullopt;
}

std::optional<int> Follower::on_interrupt() {
  if (!options_.cancel_on_interrupt || interrupted_) return detach();
  interrupted_ = true;
  display_->note(fmt::format(
      "cancelling; waiting until {} runs on as before (Ctrl-C again: leave without waiting)", vm_));
  if (migration_) ask_for_cancel();
  return std::nullopt;
}

void Follower::ask_for_cancel() {
  cancel_sent_ = true;
  control::Request request;
  request.mutable_cancel()->set_vm_or_id(migration_->id());
  auto client = control::Client::connect(context_.socket);
  auto sent = client ? client->send(request) : Result<>(fail(client.error()));
  if (!sent) return display_->note("cannot ask for cancel: " + sent.error().message);
  cancel_ = std::move(*client);
}

void Follower::read_cancel_answer() {
  const auto answer = cancel_->receive_arrived();
  if (answer && !*answer) return;
  // A migration is an answer that the reports tell as well.
  if (answer && (*answer)->has_error()) {
    auto error = (*answer)->error();
    make_printable(&error);
    display_->note("it cannot be cancelled: " + error.message());
  }
  cancel_.reset();
}

int Follower::detach() {
  display_.reset();
  print_message(fmt::format("detached: the migration of {} goes on{}\n  follow it: vmigrate watch {}\n", vm_,
                            interrupted_ ? ", and was asked to cancel" : "", vm_));
  return kDetachedExitCode;
}

int Follower::conclude() {
  display_.reset();
  if (!migration_) return lost({ErrorCode::unreachable, "migrated gave no answer", ""});
  return print_end(context_, *migration_);
}

int Follower::lost(const vmigrate::Error& why) {
  display_.reset();
  return report_error(
      context_,
      to_message({ErrorCode::needs_attention,
                  fmt::format("it is not known how the migration of {} goes on: {}", vm_, why.message),
                  fmt::format("when migrated runs again, it ends the migration one way or the other: "
                              "vmigrate show {}",
                              vm_)},
                 "the two hosts see to it that no more than one copy runs"));
}

int print_end(const Context& context, const control::Migration& migration) {
  auto printable = migration;
  make_printable(&printable);
  const bool completed = migration.phase() == control::COMPLETED;
  print_result(context, migration, completed ? render_receipt(printable, context.result_style) : "");
  if (!completed && printable.has_error()) {
    print_message(render_error(printable.error(), context.message_style));
  } else if (!completed) {
    print_message(fmt::format("vmigrate: {}: {}\n", printable.vm(), phase_words(printable)));
  }
  return exit_code_of(migration);
}

}  // namespace vmigrate::cli
