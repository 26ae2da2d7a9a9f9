#pragma once

#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "base/bytes.hpp"

namespace vmigrate::stream {

/// A bare QEMU under TCG with a QMP connection, for making and loading migration streams.
class QemuProcess {
 public:
  explicit QemuProcess(std::vector<std::string> arguments);
  ~QemuProcess();
  QemuProcess(const QemuProcess&) = delete;
  QemuProcess& operator=(const QemuProcess&) = delete;

  /// The "return" of a QMP command; fails the test on an error.
  nlohmann::json command(const std::string& name, const nlohmann::json& arguments = nlohmann::json::object());
  void set_capability(const std::string& name);
  /// Waits for the migration to end and returns its status.
  std::string await_migration();

  /// Migrates into a socket and returns every byte. With `answer_return_path`, says there at the end that all
  /// is well.
  ByteBuffer capture(bool answer_return_path = false);
  /// The same with several connections, as multifd makes them; each one's bytes.
  std::vector<ByteBuffer> capture_connections(std::size_t count);
  /// Feeds a stream to a QEMU started with -incoming defer, and waits until it has taken it.
  std::string load(const ByteBuffer& stream);

 private:
  nlohmann::json read_message();

  std::string folder_;
  int process_ = -1;
  int qmp_ = -1;
  std::string received_;
};

}  // namespace vmigrate::stream
