#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>
#include <thread>

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

/// Packs batches, or passes the stream on as it is, and puts that on the wire, on a thread of its own
/// ("pack") and zstd's.
///
/// What it holds is bounded: a batch in work, one that waits, and the pieces that zstd's workers have.
class BatchSender {
 public:
  BatchSender(peer::BulkSender& wire, const reduce::Sizes& sizes);
  /// `wire` must have been unblocked (by closing its session), or have nothing to wait for.
  ~BatchSender();
  BatchSender(const BatchSender&) = delete;
  BatchSender& operator=(const BatchSender&) = delete;

  /// zstd's threads for each migration on this machine.
  static int workers();

  /// From one thread. Blocks while there is no room. With `at_once` nothing is held back to be packed with
  /// what follows. An error is final.
  Result<> send(reduce::Batch batch, Effort effort, bool at_once);
  /// The same with a piece of QEMU's stream that goes over as it is: what lies behind the first kPieceHead
  /// bytes, kMostPiece at most.
  Result<> send_as_it_is(ByteBuffer piece);
  static constexpr std::size_t kPieceHead = peer::BulkSender::kHeadRoom + reduce::kHeaderBytes;
  static constexpr std::size_t kMostPiece = peer::BulkSender::kMostInPlace - reduce::kHeaderBytes;
  /// Waits until everything is on the wire, and says there that it was all.
  Result<> finish();

  /// What was seen since the last time.
  Load take_load();
  /// Bytes put on the wire so far, before encryption.
  std::uint64_t wire_bytes() const;

 private:
  using Nanoseconds = std::chrono::nanoseconds;
  struct Job {
    reduce::Batch batch;
    ByteBuffer piece;  // instead of a batch
    Effort effort = Effort::none;
    bool at_once = false;

    std::size_t stream_bytes() const;
    std::size_t bytes() const;
  };

  void run();
  Result<> take_on(Job job);
  std::optional<Job> next_job();
  /// False when there is no point in going on.
  bool work(Job job);
  Result<> do_job(Job& job);
  Result<> pass_on(ByteBuffer piece);
  Result<> store(const reduce::Batch& batch);
  Result<> pack_quickly(const reduce::Batch& batch);
  Result<> pack(const Job& job);
  Result<> flush();
  Result<> put_packed();
  /// Both, one after the other, as one frame.
  Result<> put(reduce::Method method, ByteView bytes, ByteView more = {});
  void count(std::size_t bytes);
  void set_holds_back(bool held);
  void lose(const Error& why);

  peer::BulkSender& wire_;
  // Of whoever works: the thread, or while it has nothing to do, the caller of send().
  reduce::Compressor far_;
  reduce::Compressor near_;
  reduce::Compressor* packs_ = &near_;  // the one of the two that packed last
  ByteBuffer packed_;

  BoundedQueue<Job> queue_{1};
  mutable std::mutex mutex_;
  std::condition_variable done_;
  std::uint64_t pending_ = 0;  // batches and pieces that nobody is done with
  bool holds_back_ = false;    // the compressor has something that was not put on the wire
  std::optional<Error> lost_;
  std::uint64_t wire_bytes_ = 0;
  // Since the load was last asked for:
  MonotonicTime since_;
  Nanoseconds packing_{};
  Nanoseconds putting_{};
  Nanoseconds waited_before_{};
  std::uint64_t taken_ = 0;    // bytes of the stream
  std::uint64_t batched_ = 0;  // bytes of batches and pieces
  std::uint64_t put_ = 0;      // bytes on the wire
  std::thread thread_;
};

}  // namespace vmigrate::migration
