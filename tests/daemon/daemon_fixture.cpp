#include "daemon_fixture.hpp"

#include <chrono>

namespace vmigrate::daemon {
namespace {

// Far beyond what any step takes; reached only when something hangs.
constexpr auto kPatience = std::chrono::seconds(30);

}  // namespace

void Answers::send(control::Response response) {
  const std::lock_guard lock(mutex_);
  sent_.push_back(std::move(response));
  changed_.notify_all();
}

void Answers::finish(control::Response response) {
  const std::lock_guard lock(mutex_);
  finished_.push_back(std::move(response));
  changed_.notify_all();
}

void Answers::on_disconnect(std::function<void()> callback) {
  const std::lock_guard lock(mutex_);
  disconnected_ = std::move(callback);
}

void Answers::disconnect() {
  std::function<void()> callback;
  {
    const std::lock_guard lock(mutex_);
    callback = std::exchange(disconnected_, nullptr);
  }
  if (callback) callback();
}

control::Response Answers::last() {
  std::unique_lock lock(mutex_);
  EXPECT_TRUE(changed_.wait_for(lock, kPatience, [this] { return !finished_.empty(); })) << "no last answer";
  return finished_.empty() ? control::Response() : finished_.front();
}

void Answers::await(control::Phase phase) {
  std::unique_lock lock(mutex_);
  const auto seen = [&] {
    for (const auto& response : sent_) {
      if (response.migration().phase() == phase) return true;
    }
    return !finished_.empty();
  };
  EXPECT_TRUE(changed_.wait_for(lock, kPatience, seen)) << "never in phase " << control::Phase_Name(phase);
}

std::vector<control::Response> Answers::before_the_last() const {
  const std::lock_guard lock(mutex_);
  return sent_;
}

bool Answers::has_finished() const {
  const std::lock_guard lock(mutex_);
  return !finished_.empty();
}

DaemonTest::DaemonTest() {
  configuration_.host.name = "hosta";
  configuration_.paths.state = folder_.path();
  configuration_.paths.runtime = folder_.path();
  configuration_.peers["hostb"] = {.host = "10.0.0.2", .address = "10.0.0.2:16510"};
  use_certificate(peer::CertificateWish{.names = {"hosta"}, .ends = std::chrono::days(400)});
  hypervisor_.add(web1_);
}

DaemonTest::~DaemonTest() {
  hostb_.kill_daemon();
}

migration::Timing DaemonTest::quick() {
  migration::Timing timing;
  timing.question = Milliseconds(2'000);
  timing.retry = Milliseconds(10);
  timing.progress = Milliseconds(2);
  return timing;
}

migration::Edges DaemonTest::edges() {
  migration::Edges edges{hypervisor_, *dialer_, *journal_, announcer_,     carriers_,
                         clock_,      threads_, "hosta",   folder_.path(), quick()};
  edges.permission = std::make_shared<ConfiguredPermission>(configuration_, paired_);
  edges.audit = trail_;
  return edges;
}

std::vector<audit::Entry> DaemonTest::noted(const std::string& action) {
  std::vector<audit::Entry> entries;
  const auto list = trail_->list({}, 0, 10'000);
  EXPECT_TRUE(list) << list.error().message;
  for (const auto& shown : list.value_or(std::vector<audit::ShownEntry>())) {
    if (action.empty() || shown.entry.action == action) entries.insert(entries.begin(), shown.entry);
  }
  return entries;
}

control::DoctorItem DaemonTest::examine(const std::string& subject) {
  std::vector<control::DoctorItem> items;
  const auto report = doctor_.examine();
  for (const auto& item : report.items()) {
    if (item.subject() == subject) items.push_back(item);
  }
  EXPECT_EQ(items.size(), 1U) << subject;
  return items.empty() ? control::DoctorItem() : items.front();
}

std::shared_ptr<Answers> DaemonTest::ask(const control::Request& request) {
  return ask_as(request, {.uid = 1000, .gid = 1000, .pid = 1, .user = "alice", .groups = {1000}});
}

std::shared_ptr<Answers> DaemonTest::ask_as(const control::Request& request, const control::Caller& caller) {
  auto answers = std::make_shared<Answers>();
  audited_api_.handle(request, caller, answers);
  return answers;
}

void DaemonTest::use_certificate(const peer::CertificateWish& wish) {
  use_certificate(authority_.issue(wish));
}

void DaemonTest::use_certificate(const peer::CredentialFiles& files) {
  configuration_.tls.certificate = files.certificate;
  configuration_.tls.key = files.key;
  configuration_.tls.ca = files.ca;
}

control::Request DaemonTest::start_request(const std::string& vm, const std::string& host) {
  control::Request request;
  request.mutable_start()->set_vm(vm);
  request.mutable_start()->set_host(host);
  return request;
}

}  // namespace vmigrate::daemon
