#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.hpp"
#include "base/file_descriptor.hpp"
#include "migration/batch_sender.hpp"
#include "migration/carriers.hpp"
#include "migration/effort.hpp"
#include "migration/stream_digest.hpp"
#include "peer/session.hpp"
#include "reduce/batch_writer.hpp"
#include "stream/decoder.hpp"
#include "stream/description_filter.hpp"
#include "stream/statistics.hpp"

namespace vmigrate::migration {

/// Carries QEMU's migration stream from the source's QEMU to the wire, and its return path back, on a thread
/// of its own ("ram-out") and those of the BatchSender. What lies between QEMU and the wire is bounded, and
/// so is what the destination's QEMU has not taken yet: QEMU is held back by both, as its own estimate of the
/// downtime needs it to be. While it would not be worth the work to make anything smaller, memory passes by
/// as it is, and is not copied here.
///
/// QEMU would end its part only when the destination has loaded the VM. It gets that answer (SHUT) from here,
/// as soon as everything is on its way: the destination loads while the hypervisor here ends its part, and
/// how loading went is told by the handover anyway, before anything depends on it.
class OutgoingStream : public OutgoingCarrier {
 public:
  /// As EffortChooser::update().
  using ChooseEffort = std::function<Effort(const Load&, MonotonicTime)>;

  OutgoingStream(FileDescriptor qemu, peer::BulkSender& wire, const reduce::Sizes& sizes,
                 std::shared_ptr<Backlog> backlog, Events events);
  /// Begins with `effort` and goes on with what is chosen every now and then.
  OutgoingStream(FileDescriptor qemu, peer::BulkSender& wire, const reduce::Sizes& sizes,
                 std::shared_ptr<Backlog> backlog, Events events, Effort effort, ChooseEffort choose_effort);
  /// Ends both directions and joins. `wire` must have been unblocked (by closing its session).
  ~OutgoingStream() override;
  OutgoingStream(const OutgoingStream&) = delete;
  OutgoingStream& operator=(const OutgoingStream&) = delete;

  void cut_off() override;
  void deliver_return(ByteView bytes) override;
  StreamDigest digest(Milliseconds patience) const override;
  Counters counters() const override;

 private:
  /// Sends the records where they belong: pages into the batch, what follows RAM's end through the filter.
  class Splitter : public stream::StreamStatistics {
   public:
    explicit Splitter(std::size_t store_pages) : writer(store_pages) {}

    void opaque(ByteView bytes) override;
    void block_table(const std::vector<stream::RamBlock>& blocks) override;
    void page(const stream::PagePlace& place, ByteView content) override;
    void zero_page(const stream::PagePlace& place, std::byte fill) override;

    reduce::BatchWriter writer;
    stream::DescriptionFilter filter;
    bool as_it_is = false;      ///< memory goes over as it is, and not through the writer
    std::size_t tail_size = 0;  ///< bytes that went into the filter
    ByteBuffer tail;            ///< what came out of it
  };

  void pump();
  Result<> carry_all();
  bool await_bytes() const;
  Result<> carry(std::size_t count);
  void feed(ByteView bytes);
  std::span<std::byte> room();
  bool has_enough() const;
  void note_sent();
  void release_tail();
  Result<> flush();
  Result<> flush_as_it_is();
  Result<> flush_batch();
  void adapt_effort();
  void choose_way();
  void answer_for_destination();
  void write_return(ByteView bytes);

  FileDescriptor qemu_;
  const std::shared_ptr<Backlog> backlog_;
  Events events_;
  mutable std::mutex mutex_;
  mutable std::condition_variable ended_changed_;
  bool ended_ = false;
  double network_ = 0;
  StreamDigester digester_;
  Splitter splitter_;
  // The pump's own:
  stream::Decoder decoder_;
  BatchSender sender_;
  // What is read next comes behind the bytes that pass by and were not sent yet, and those behind room for
  // their head. The last of them may be the beginning of a record, which is not sent before all of it is
  // there: so the writer can always begin where this ends, and the other way round.
  ByteBuffer buffer_;
  std::size_t read_ = 0;
  std::size_t ready_ = 0;  // of what was read, what can be sent
  ChooseEffort choose_effort_;
  Effort effort_;
  MonotonicTime effort_chosen_;
  std::chrono::nanoseconds held_back_{};  // by the backlog, until the effort was chosen
  std::size_t batch_size_;
  std::uint64_t guest_sent_ = 0;  // bytes
  bool sees_zeroes_ = false;      // the last read was mostly pages of zeros
  std::uint32_t passes_seen_ = 0;
  bool stop_seen_ = false;

  std::mutex return_mutex_;
  bool answered_ = false;
  std::jthread thread_;
};

}  // namespace vmigrate::migration
