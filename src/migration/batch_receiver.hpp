#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/bounded_queue.hpp"
#include "base/error.hpp"
#include "base/units.hpp"
#include "reduce/batch_reader.hpp"
#include "reduce/decompressor.hpp"
#include "reduce/frame_header.hpp"
#include "reduce/memory_need.hpp"

namespace vmigrate::migration {

/// Takes what a BatchSender has put on the wire, and gives back the stream: unpacked on threads of its own
/// ("unpack-0", ...), restored and handed on in order. Nothing that comes in is trusted.
class BatchReceiver {
 public:
  /// Takes the next bytes of the stream; called from one thread at a time.
  using Sink = std::function<Result<>(ByteView)>;

  /// `budget` limits what the source may make it keep.
  BatchReceiver(Bytes budget, Sink sink) : budget_(budget), sink_(std::move(sink)) {}
  ~BatchReceiver();
  BatchReceiver(const BatchReceiver&) = delete;
  BatchReceiver& operator=(const BatchReceiver&) = delete;

  /// From one thread, however the bytes are cut. Blocks while the workers have all that they can hold. An
  /// error is final.
  Result<> feed(ByteView bytes);
  /// No more bytes come. Waits until all of the stream was handed on.
  Result<> finish();

 private:
  struct Job {
    std::uint64_t number = 0;
    reduce::FrameHeader header;
    ByteBuffer packed;
  };
  struct Worker {
    explicit Worker(int window_log) : decompressor(window_log) {}
    BoundedQueue<Job> queue{1};
    reduce::Decompressor decompressor;
    std::thread thread;
  };

  Result<> open();
  Result<> take_unit();
  void run(Worker& worker, std::size_t track);
  bool unpack(Worker& worker, Job& job);
  /// Of those that are not handed on yet.
  bool is_first(std::uint64_t number);
  /// In the order of the numbers. False when there is no point in going on.
  bool hand_on(const Job& job, const Result<ByteBuffer>& batch);
  Result<> restore(const Job& job, const Result<ByteBuffer>& batch);
  void lose(const Error& why);

  const Bytes budget_;
  const Sink sink_;
  // The feeding thread's own: the unit (opening, header or packed batch) that is being put together.
  ByteBuffer unit_;
  std::size_t unit_size_ = 0;
  std::optional<reduce::FrameHeader> header_;
  std::uint64_t submitted_ = 0;

  std::optional<reduce::BatchReader> reader_;  // of whose turn it is
  std::mutex mutex_;
  std::condition_variable turn_;
  std::uint64_t next_ = 0;
  std::optional<Error> lost_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace vmigrate::migration
