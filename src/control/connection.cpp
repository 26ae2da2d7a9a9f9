#include "control/connection.hpp"

#include <utility>

#include <boost/asio/buffer.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/write.hpp>

namespace vmigrate::control {

namespace asio = boost::asio;
using boost::system::error_code;

std::shared_ptr<Connection> Connection::create(asio::io_context& context, Socket socket, Patience patience,
                                               Events events) {
  std::shared_ptr<Connection> connection(new Connection(std::move(socket), patience, std::move(events)));
  // Closing the outbox makes it forget this, and every connection is closed before the context ends.
  connection->outbox_ = std::make_shared<Outbox>([weak = connection->weak_from_this(), &context] {
    asio::post(context, [weak] {
      if (const auto self = weak.lock()) self->write();
    });
  });
  return connection;
}

Connection::Connection(Socket socket, Patience patience, Events events)
    : socket_(std::move(socket)),
      deadline_(socket_.get_executor()),
      patience_(patience),
      events_(std::move(events)) {
}

void Connection::start() {
  limit(patience_.request);
  read();
}

void Connection::refuse(const vmigrate::Error& error) {
  asked_ = true;
  events_.refused(shared_from_this(), error);
  outbox_->put(error_response(error), true);
}

void Connection::read() {
  socket_.async_read_some(asio::buffer(arriving_),
                          [self = shared_from_this()](error_code error, std::size_t count) {
                            if (error) return self->close();
                            self->on_bytes(count);
                            if (!self->closed_) self->read();
                          });
}

void Connection::on_bytes(std::size_t count) {
  // One request a connection: whoever sends more does not speak this protocol.
  if (asked_) return close();
  decoder_.append({arriving_.data(), count});
  const auto message = decoder_.next();
  if (!message) return refuse(message.error());
  if (!*message) return;
  deadline_.cancel();
  asked_ = true;
  Request request;
  if (!request.ParseFromString(**message)) {
    return refuse(
        {ErrorCode::usage, "the request is not one", "are vmigrate and migrated of the same version?"});
  }
  events_.request(shared_from_this(), request);
}

void Connection::write() {
  if (writing_ || closed_) return;
  auto frame = outbox_->take();
  if (!frame) return;
  writing_ = true;
  leaving_ = std::move(frame->bytes);
  if (!closing_) limit(patience_.response);
  asio::async_write(socket_, asio::buffer(leaving_),
                    [self = shared_from_this(), last = frame->last](error_code error, std::size_t) {
                      self->writing_ = false;
                      if (error || last) return self->close();
                      if (!self->closing_) self->deadline_.cancel();
                      self->write();
                    });
}

void Connection::limit(std::chrono::milliseconds time) {
  deadline_.expires_after(time);
  deadline_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (!error && self) self->close();
  });
}

void Connection::close_after_last(std::chrono::milliseconds patience) {
  closing_ = true;
  limit(patience);
}

void Connection::close() {
  if (std::exchange(closed_, true)) return;
  deadline_.cancel();
  error_code ignored;
  socket_.close(ignored);
  outbox_->close();
  events_.closed(shared_from_this());
}

}  // namespace vmigrate::control
