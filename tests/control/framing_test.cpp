#include "control/framing.hpp"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "vmigrate/control.pb.h"

namespace vmigrate::control {
namespace {

Request request_for(const std::string& vm) {
  Request request;
  request.mutable_start()->set_vm(vm);
  return request;
}

std::string frame_of(const Request& request) {
  return to_frame(request).value();
}

TEST(Framing, ALengthIsLittleEndianAndCountsTheMessageOnly) {
  const auto frame = frame_of(request_for(std::string(298, 'x')));
  // A field of 298 bytes has a tag and a length of 2 bytes, twice: once in Start, once in Request.
  ASSERT_EQ(frame.size(), 4u + 304u);
  EXPECT_EQ(frame.substr(0, 4), std::string("\x30\x01\x00\x00", 4));
}

TEST(Framing, MessagesComeOutWholeHoweverTheyAreCut) {
  const auto bytes = frame_of(request_for("web1")) + frame_of(request_for("")) + frame_of(request_for("db"));
  for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
    FrameDecoder decoder;
    std::vector<std::string> names;
    for (const auto& part : {bytes.substr(0, cut), bytes.substr(cut)}) {
      decoder.append(part);
      while (const auto message = decoder.next().value()) {
        Request request;
        ASSERT_TRUE(request.ParseFromString(*message));
        names.push_back(request.start().vm());
      }
    }
    EXPECT_THAT(names, testing::ElementsAre("web1", "", "db")) << "cut at " << cut;
    EXPECT_EQ(decoder.waiting(), 0u);
  }
}

TEST(Framing, AMessageAtTheLimitPassesAndOneAboveDoesNot) {
  // Two tags and two lengths of 3 bytes, for Start and its field.
  const std::size_t overhead = 8;
  const auto fits = to_frame(request_for(std::string(kLongestMessage - overhead, 'x')));
  ASSERT_TRUE(fits);
  FrameDecoder decoder;
  decoder.append(*fits);
  EXPECT_EQ(decoder.next().value()->size(), kLongestMessage);

  const auto too_long = to_frame(request_for(std::string(kLongestMessage - overhead + 1, 'x')));
  ASSERT_FALSE(too_long);
  EXPECT_EQ(too_long.error().code, ErrorCode::refused);
}

TEST(Framing, ALengthAboveTheLimitIsRefusedAsSoonAsItIsKnown) {
  FrameDecoder decoder;
  decoder.append(std::string("\x01\x00\x10\x00", 4));  // 1 MiB + 1
  const auto message = decoder.next();
  ASSERT_FALSE(message);
  EXPECT_EQ(message.error().message, "a message of 1048577 bytes was announced, the limit is 1048576");
}

}  // namespace
}  // namespace vmigrate::control
