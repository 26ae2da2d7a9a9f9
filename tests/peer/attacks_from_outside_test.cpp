// By whoever reaches the port.
#include <array>

#include <openssl/ssl.h>
#include <sys/socket.h>

#include "attacks.hpp"

namespace vmigrate::peer {
namespace {

// --- Without TLS

const std::array<Attack, 13> kInTheClear{{
    {"Http", [](Attacks& host) { host.send_in_the_clear(bytes_of("GET / HTTP/1.1\r\n\r\n")); }},
    {"Ssh", [](Attacks& host) { host.send_in_the_clear(bytes_of("SSH-2.0-x\r\n")); }},
    {"Zeros", [](Attacks& host) { host.send_in_the_clear(ByteBuffer(65'536)); }},
    {"Noise", [](Attacks& host) { host.send_in_the_clear(patterned_bytes(100'000)); }},
    {"ALittleNoise", [](Attacks& host) { host.send_in_the_clear(patterned_bytes(3)); }},
    {"Nothing", [](Attacks& host) { host.send_in_the_clear({}); }},
    {"ATlsAlert",
     [](Attacks& host) {
       host.send_in_the_clear(bytes_of({"\x15\x03\x03\x00\x02\x02\x28", 7}));
     }},
    {"ATlsRecordOfAnySize",
     [](Attacks& host) {
       host.send_in_the_clear(bytes_of({"\x16\x03\x01\xff\xff\x01\xff\xff\xff", 9}));
     }},
    {"ATlsHelloThatIsCut",
     [](Attacks& host) {
       host.send_in_the_clear(bytes_of({"\x16\x03\x01\x00\x50\x01\x00\x00\x4c\x03\x03", 11}));
     }},
    {"AnAncientHello",
     [](Attacks& host) {
       host.send_in_the_clear(bytes_of({"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", 11}));
     }},
    {"AGoodHello", [](Attacks& host) { host.send_in_the_clear(Attacks::framed(Attacks::hello())); }},
    {"AFrameOfAnySize",
     [](Attacks& host) { host.send_in_the_clear(Attacks::lengths(UINT32_MAX, UINT32_MAX)); }},
    {"AReset",
     [](Attacks& host) {
       const auto socket = connect_to(host.listener());
       const linger at_once{1, 0};
       ::setsockopt(socket.get(), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
     }},
}};
INSTANTIATE_TEST_SUITE_P(InTheClear, Attacks, testing::ValuesIn(kInTheClear), name_of);

// --- Taking long

constexpr Milliseconds kShort{500};
const std::array<Attack, 7> kSlow{{
    {"ByOneWhoSaysNothing", [](Attacks& host) { read_to_end(connect_to(host.listener())); }, kShort},
    {"ByHalfARecord",
     [](Attacks& host) {
       const auto socket = connect_to(host.listener());
       send_all(socket, bytes_of({"\x16\x03\x01\x02\x00\x01", 6}));
       read_to_end(socket);
     },
     kShort},
    {"ByteByByte",
     [](Attacks& host) {
       const auto record =
           Attacks::joined({bytes_of({"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc", 9}), ByteBuffer(1'000)});
       Attacks::send_slowly(connect_to(host.listener()), record);
     },
     kShort},
    {"ByAHostThatSaysNothing",
     [](Attacks& host) {
       auto stream = host.connect();
       EXPECT_FALSE(read_answer(stream, Attacks::soon()));
     },
     kShort},
    {"ByHalfAHello", [](Attacks& host) { host.expect_no_greeting(Attacks::lengths(0, 100)); }, kShort},
    {"ByHalfAFrameHead", [](Attacks& host) { host.expect_no_greeting(ByteBuffer(5)); }, kShort},
    {"ByManyWhoSayNothing",
     [](Attacks& host) {
       // More than may be in their greetings at once.
       std::vector<FileDescriptor> silent(200);
       for (auto& socket : silent) socket = connect_to(host.listener());
       for (const auto& socket : silent) read_to_end(socket);
     },
     kShort},
}};
INSTANTIATE_TEST_SUITE_P(Slow, Attacks, testing::ValuesIn(kSlow), name_of);

// --- By somebody else

using std::chrono::hours;
const std::array<Attack, 10> kStrangers{{
    {"WithoutACertificate", [](Attacks& host) { host.expect_no_tls(TLS1_3_VERSION); }},
    {"WithOldTls", [](Attacks& host) { host.expect_no_tls(TLS1_2_VERSION); }},
    {"WithOldTlsAndAGoodCertificate",
     [](Attacks& host) {
       const auto files = host.authority().issue("hosta");
       host.expect_no_tls(TLS1_2_VERSION, &files);
     }},
    {"OfAnotherAuthority",
     [](Attacks& host) {
       CertificateAuthority other;
       auto files = other.issue("hosta");
       files.ca = host.authority().certificate_file();
       host.expect_turned_away(files);
     }},
    {"WithAnExpiredCertificate",
     [](Attacks& host) {
       host.expect_turned_away(host.authority().issue({{"hosta"}, hours(-48), hours(-24)}));
     }},
    {"WithACertificateOfTomorrow",
     [](Attacks& host) {
       host.expect_turned_away(host.authority().issue({{"hosta"}, hours(24), hours(48)}));
     }},
    {"WithACertificateForClientsOnly",
     [](Attacks& host) {
       host.expect_turned_away(
           host.authority().issue(CertificateWish{.names = {"hosta"}, .extended_key_usage = "clientAuth"}));
     }},
    {"WithoutAName",
     [](Attacks& host) { host.expect_turned_away(host.authority().issue(CertificateWish{})); }},
    {"OfAnUnknownName", [](Attacks& host) { host.expect_turned_away(host.authority().issue("hostx")); }},
    {"OfALongerName",
     [](Attacks& host) { host.expect_turned_away(host.authority().issue("hosta.evil.example")); }},
}};
INSTANTIATE_TEST_SUITE_P(Strangers, Attacks, testing::ValuesIn(kStrangers), name_of);

}  // namespace
}  // namespace vmigrate::peer
