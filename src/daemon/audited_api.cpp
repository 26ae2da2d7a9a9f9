#include "daemon/audited_api.hpp"

#include <algorithm>
#include <atomic>
#include <utility>
#include <vector>

#include "control/framing.hpp"
#include "daemon/api.hpp"
#include "daemon/at_once.hpp"
#include "daemon/audit_entries.hpp"
#include "daemon/known_hosts.hpp"
#include "daemon/report_proto.hpp"

namespace vmigrate::daemon {
namespace {

// Room in an answer for what is around its entries; none of them is longer than a tenth of this.
constexpr std::size_t kRoom = 128 << 10;
// Of one answer. Read at once, with the trail held.
constexpr std::size_t kMostEntries = 2000;

/// Passes everything on, and notes the last answer.
class AuditingResponder : public control::Responder {
 public:
  AuditingResponder(std::shared_ptr<control::Responder> responder, std::shared_ptr<audit::Trail> trail,
                    audit::Entry entry, RequestKind kind)
      : responder_(std::move(responder)), trail_(std::move(trail)), entry_(std::move(entry)), kind_(kind) {}
  ~AuditingResponder() override {
    if (!entry_) return;
    // Whoever follows a migration may leave before its end.
    if (begun_) {
      note(std::move(*entry_), {});
      return;
    }
    entry_->result = *left_ ? "left" : "failed";
    entry_->reason = *left_ ? "whoever asked did not wait for the end" : "it was not answered";
    trail_->note(std::move(*entry_), audit::Keep::some);
  }

  void send(control::Response response) override {
    begun_ = true;
    responder_->send(std::move(response));
  }
  void finish(control::Response response) override {
    // Before the client knows it, or it could look in vain.
    if (auto entry = std::exchange(entry_, std::nullopt)) note(std::move(*entry), response);
    responder_->finish(std::move(response));
  }
  void on_disconnect(std::function<void()> callback) override {
    responder_->on_disconnect([left = left_, callback = std::move(callback)] {
      *left = true;
      callback();
    });
  }

 private:
  void note(audit::Entry entry, const control::Response& response) {
    // A migration that has begun is noted by itself, from its begin to its end.
    if (kind_ == RequestKind::start && !response.has_error()) return;
    add_answer(entry, response);
    trail_->note(std::move(entry), keep(kind_, response));
  }

  const std::shared_ptr<control::Responder> responder_;
  const std::shared_ptr<audit::Trail> trail_;
  std::optional<audit::Entry> entry_;
  std::atomic<bool> begun_ = false;
  // Of the callback, too, which may be what ends this.
  const std::shared_ptr<std::atomic<bool>> left_ = std::make_shared<std::atomic<bool>>(false);
  const RequestKind kind_;
};

}  // namespace

void AuditedApi::handle(const control::Request& request, const control::Caller& caller,
                        std::shared_ptr<control::Responder> responder) {
  auto entry = entry_of(request, caller);
  const auto kind = kind_of(request);
  if (kind == RequestKind::act) {
    auto asked = entry;
    asked.result = "asked";
    parts_.trail->note(std::move(asked), audit::Keep::some);
  }
  auto audited =
      std::make_shared<AuditingResponder>(std::move(responder), parts_.trail, std::move(entry), kind);
  if (!request.has_audit() && !request.has_audit_verify())
    return parts_.api.handle(request, caller, std::move(audited));
  auto answered = answer(request, caller);
  audited->finish(answered ? std::move(*answered) : error_response(answered.error(), ""));
}

Result<control::Response> AuditedApi::answer(const control::Request& request, const control::Caller& caller) {
  if (auto good = acceptable(parts_.configuration, request, caller); !good) return fail(good.error());
  return request.has_audit() ? list(request.audit()) : verify();
}

void AuditedApi::turned_away(const std::optional<control::Caller>& caller, const vmigrate::Error& why) {
  auto entry = caller ? entry_by(*caller) : audit::Entry();
  entry.action = "connect";
  entry.result = "refused";
  entry.reason = why.message;
  parts_.trail->note(std::move(entry), audit::Keep::some);
}

Result<control::Response> AuditedApi::list(const control::Audit& request) {
  const audit::Filter filter{audit::WallTime(std::chrono::milliseconds(request.since_unix_ms())),
                             request.vm(), request.user()};
  const std::size_t most =
      request.limit() == 0 ? kMostEntries : std::min<std::size_t>(request.limit(), kMostEntries);
  const auto entries = parts_.trail->list(filter, request.before(), most);
  if (!entries) return fail(entries.error());
  control::Response response;
  auto* list = response.mutable_audit();
  std::size_t size = 0;
  for (const auto& shown : *entries) {
    auto entry = to_proto(shown);
    size += entry.ByteSizeLong();
    if (size > control::kLongestMessage - kRoom) break;
    *list->add_entries() = std::move(entry);
  }
  list->set_more(entries->size() == most || static_cast<std::size_t>(list->entries_size()) < entries->size());
  return response;
}

Result<control::Response> AuditedApi::verify() {
  control::Response response;
  auto* report = response.mutable_audit_report();
  std::vector<audit::ChainCheck::Witnessed> witnessed;
  std::vector<std::string> hosts;
  for (const auto& [host, known] : known_hosts(parts_.configuration, parts_.paired)) hosts.push_back(host);
  const auto answers =
      for_each_at_once(hosts, [this](const std::string& host) { return parts_.manager.audit_heads(host); });
  for (std::size_t i = 0; i < hosts.size(); ++i) {
    const auto& host = hosts[i];
    const auto& heads = answers[i];
    auto* witness = report->add_witnesses();
    witness->set_host(host);
    if (!heads) {
      witness->set_problem(to_proto(heads.error(), "").message());
      continue;
    }
    witness->set_heads(heads->size());
    for (const auto& head : *heads) witnessed.push_back({host, head});
  }
  const auto verified = parts_.trail->verify(witnessed);
  if (!verified) return fail(verified.error());
  report->set_entries(verified->entries);
  if (verified->head) *report->mutable_head() = to_proto(*verified->head);
  for (const auto& finding : verified->findings) report->add_findings(finding);
  report->set_agreeing(verified->witnessed);
  report->set_too_old(verified->too_old);
  return response;
}

}  // namespace vmigrate::daemon
