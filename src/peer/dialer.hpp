#pragma once

#include "peer/endpoint.hpp"
#include "peer/session.hpp"

namespace vmigrate::peer {

/// Opens sessions over TLS. Thread-safe. Its sessions do not need it any more.
class TlsDialer : public Dialer {
 public:
  explicit TlsDialer(Endpoint endpoint) : endpoint_(std::move(endpoint)) {}
  Result<std::unique_ptr<Session>> dial(const std::string& host) override;

 private:
  const Endpoint endpoint_;
};

}  // namespace vmigrate::peer
