#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "base/bounded_queue.hpp"
#include "base/bytes.hpp"
#include "base/error.hpp"
#include "base/units.hpp"
#include "reduce/batch_reader.hpp"
#include "reduce/decompressor.hpp"
#include "reduce/frame_header.hpp"

namespace vmigrate::migration {

/// Undoes what the BatchSender did: unpacks on the thread that brings the bytes, and restores the stream from
/// the batches on a thread of its own ("restore").
///
/// What it holds is bounded: a batch in work, one that waits, one that is being put together or unpacked, and
/// what `budget` allows zstd and the page store.
class BatchReceiver {
 public:
  /// Takes the next bytes of the stream; called from one thread at a time.
  using Sink = std::function<Result<>(ByteView)>;

  /// `budget` limits what the source may make it keep.
  BatchReceiver(Bytes budget, Sink sink) : budget_(budget), sink_(std::move(sink)) {}
  ~BatchReceiver();
  BatchReceiver(const BatchReceiver&) = delete;
  BatchReceiver& operator=(const BatchReceiver&) = delete;

  /// From one thread, however the bytes are cut. Blocks while there is no room. An error is final.
  Result<> feed(ByteView bytes);
  /// No more bytes come. Waits until all of the stream was handed on.
  Result<> finish();

 private:
  struct Batch {
    reduce::BatchHeader header;
    ByteBuffer bytes;
  };

  Result<> feed_some(ByteView& bytes);
  Result<> open(ByteView opening);
  Result<> take_part_of_frame(ByteView part);
  Result<> take_lz4(ByteView part);
  static Result<Batch> unpack(ByteView frame);
  Result<> pass_on(ByteView piece);
  Result<> assemble(ByteView bytes);
  bool is_amid_batch() const { return batch_ || !batch_head_.empty(); }
  Result<> hand_on(Batch batch);
  void run();
  bool restore(const Batch& batch);
  Result<> restore_into_sink(const Batch& batch);
  void lose(const Error& why);

  const Bytes budget_;
  const Sink sink_;
  // The feeding thread's own.
  ByteBuffer head_;                          // the opening or a header, as far as it has come
  std::optional<reduce::Decompressor> far_;  // once the opening has come
  reduce::Decompressor near_{reduce::kNearWindowLog};
  std::optional<reduce::FrameHeader> frame_;  // that is coming
  std::size_t frame_left_ = 0;
  ByteBuffer lz4_;  // a frame of it, as far as it has come
  ByteBuffer batch_head_;
  std::optional<Batch> batch_;  // that is being put together

  std::optional<reduce::BatchReader>
      reader_;  // of whoever restores: the thread, or while it has nothing to do, feed()
  BoundedQueue<Batch> queue_{1};
  std::mutex mutex_;
  std::condition_variable done_;
  std::uint64_t pending_ = 0;  // batches that are not handed on
  std::optional<Error> lost_;
  std::thread thread_;
};

}  // namespace vmigrate::migration
