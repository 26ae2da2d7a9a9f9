// QEMU's stream, in pieces of any size: what the decoder tells is the stream again, byte for byte, and it
// holds back no more than a page.
#include "../stream/recorder.hpp"
#include "../stream/sample_stream.hpp"
#include "fuzz.hpp"
#include "stream/description_filter.hpp"

namespace vmigrate::fuzz {
namespace {

// A page with its head, or what a subsection or a command may have.
constexpr std::size_t kMostHeld = std::size_t{128} << 10;

/// Pieces of sizes that the first bytes of the input choose, again and again.
class Sizes {
 public:
  explicit Sizes(ByteView choices) : choices_(choices) {}
  std::size_t next() {
    if (choices_.empty()) return 1;
    const auto choice = std::to_integer<std::size_t>(choices_[at_++ % choices_.size()]);
    // Small ones end inside of heads, large ones inside of pages.
    return choice < 128 ? choice : (choice - 127) * 64;
  }

 private:
  ByteView choices_;
  std::size_t at_ = 0;
};

void check_decoder(ByteView stream, Sizes sizes) {
  stream::Decoder decoder;
  std::size_t most_held = 0;
  const auto pieces = stream::decode_in_pieces(stream, decoder, [&] {
    most_held = std::max(most_held, decoder.held().size());
    return sizes.next();
  });
  require(pieces.encoder.output() == copy_of(stream), "the records are the stream");
  require(most_held <= kMostHeld, "little is held back");
  require(stream::decode_whole(stream).log == pieces.log, "the cuts make no difference");
}

void check_filter(ByteView stream, Sizes sizes) {
  stream::DescriptionFilter filter;
  ByteBuffer out;
  // What it takes for the end need not be it, and what follows then is not looked at here.
  for (Input rest(stream); !rest.empty() && !filter.is_complete();)
    filter.feed(rest.take(std::max<std::size_t>(sizes.next(), 1)), out);
  if (filter.is_complete()) return require(as_text(out).ends_with("{}"), "a complete stream ends like one");
  filter.release(out);
  require(out == copy_of(stream), "without a description nothing is changed");
}

}  // namespace

std::vector<ByteBuffer> seeds() {
  const auto whole = stream::sample_stream();
  const Seed cut = Seed().number(3, 1).number(1, 1).number(200, 1).number(7, 1);
  return {Seed(cut).raw(whole).bytes(), Seed(cut).raw(ByteView(whole).first(300)).bytes(),
          Seed(cut).raw(ByteView(whole).last(60)).bytes()};
}

void check(ByteView input) {
  Input in(input);
  const Sizes sizes(in.take(4));
  check_decoder(in.rest(), sizes);
  check_filter(in.rest(), sizes);
}

}  // namespace vmigrate::fuzz
