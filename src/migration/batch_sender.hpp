#pragma once

#include <array>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/bounded_queue.hpp"
#include "base/clock.hpp"
#include "base/error.hpp"
#include "migration/effort.hpp"
#include "peer/session.hpp"
#include "reduce/batch.hpp"
#include "reduce/compressor.hpp"
#include "reduce/frame_header.hpp"
#include "reduce/memory_need.hpp"

namespace vmigrate::migration {

/// Packs batches on threads of its own ("pack-0", ...) and puts them on the wire in the order in which they
/// came. Batch n is the business of worker n mod K, whose compressor remembers what it saw; the destination
/// has as many (see BatchReceiver).
///
/// What it holds is bounded: for each worker, one batch in work and one that waits.
class BatchSender {
 public:
  BatchSender(peer::BulkSender& wire, const reduce::Sizes& sizes);
  /// `wire` must have been unblocked (by closing its session), or have nothing to wait for.
  ~BatchSender();
  BatchSender(const BatchSender&) = delete;
  BatchSender& operator=(const BatchSender&) = delete;

  /// From one thread. Blocks while the workers have all that they can hold. An error is final.
  Result<> send(reduce::Batch batch, Effort effort);
  /// Waits until everything is on the wire, and says there that it was all.
  Result<> finish();

  /// What was seen since the last time.
  Load take_load();
  /// Bytes put on the wire so far, before encryption.
  std::uint64_t wire_bytes() const;

 private:
  using Nanoseconds = std::chrono::nanoseconds;
  struct Job {
    std::uint64_t number = 0;
    reduce::Batch batch;
    Effort effort = Effort::none;
  };
  struct Worker {
    explicit Worker(int window_log) : compressor(window_log) {}
    BoundedQueue<Job> queue{1};
    reduce::Compressor compressor;
    std::thread thread;
  };

  void run(Worker& worker, std::size_t track);
  struct Frame {
    std::array<std::byte, reduce::kFrameHeaderBytes> header{};
    ByteBuffer packed;
  };
  static Result<Frame> pack(reduce::Compressor& compressor, std::size_t track, Job job);
  /// In the order of the numbers. False when there is no point in going on.
  bool put(std::uint64_t number, const Result<Frame>& frame);
  Result<> write(const Result<Frame>& frame);
  void lose(const Error& why);

  peer::BulkSender& wire_;
  mutable std::mutex mutex_;
  std::condition_variable turn_;
  std::uint64_t submitted_ = 0;
  std::uint64_t next_ = 0;
  std::optional<Error> lost_;
  std::uint64_t wire_bytes_ = 0;
  // Since the load was last asked for:
  MonotonicTime since_;
  Nanoseconds at_wire_{};
  Nanoseconds at_work_{};
  std::uint64_t taken_ = 0;  // bytes of the stream
  std::uint64_t put_ = 0;    // bytes on the wire
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace vmigrate::migration
