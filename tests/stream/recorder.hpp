#pragma once

#include <string>
#include <vector>

#include <fmt/format.h>

#include "stream/decoder.hpp"
#include "stream/encoder.hpp"
#include "stream/statistics.hpp"

namespace vmigrate::stream {

/// Encodes, counts and writes down everything it is told.
class Recorder : public RecordSink {
 public:
  void opaque(ByteView bytes) override {
    encoder.opaque(bytes);
    opaque_bytes += bytes.size();
  }
  void block_table(const std::vector<RamBlock>& blocks) override {
    encoder.block_table(blocks);
    table = blocks;
    log.push_back("blocks");
  }
  void page(const PagePlace& place, ByteView content) override {
    encoder.page(place, content);
    statistics.page(place, content);
    log.push_back(
        fmt::format("page {}:{} {}", place.block, place.offset / 4096, static_cast<char>(content[7])));
  }
  void zero_page(const PagePlace& place, std::byte fill) override {
    encoder.zero_page(place, fill);
    statistics.zero_page(place, fill);
    log.push_back(fmt::format("zero {}:{}", place.block, place.offset / 4096));
  }
  void delta_page(const PagePlace& place) override {
    encoder.delta_page(place);
    statistics.delta_page(place);
    log.push_back(fmt::format("delta {}:{}", place.block, place.offset / 4096));
  }
  void last_pages() override {
    statistics.last_pages();
    log.push_back("last pages");
  }
  void ram_end() override {
    statistics.ram_end();
    log.push_back("ram end");
  }

  Encoder encoder;
  StreamStatistics statistics;
  std::vector<RamBlock> table;
  std::vector<std::string> log;
  std::size_t opaque_bytes = 0;
};

/// Decodes `stream` in pieces as long as `next_size` says, and checks that the records are the stream.
template <class NextSize>
Recorder decode_in_pieces(ByteView stream, Decoder& decoder, NextSize next_size) {
  Recorder recorder;
  while (!stream.empty()) {
    const std::size_t size = std::min(stream.size(), std::max<std::size_t>(next_size(), 1));
    decoder.feed(stream.first(size), recorder);
    stream = stream.subspan(size);
  }
  decoder.finish(recorder);
  return recorder;
}

inline Recorder decode_whole(ByteView stream) {
  Decoder decoder;
  return decode_in_pieces(stream, decoder, [&] { return stream.size(); });
}

}  // namespace vmigrate::stream
