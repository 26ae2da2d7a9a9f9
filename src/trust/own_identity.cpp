#include "trust/own_identity.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <memory>

#include <fmt/format.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "trust/durable_file.hpp"

namespace vmigrate::trust {
namespace {

using TimePoint = std::chrono::system_clock::time_point;
using Key = std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)>;
using Certificate = std::unique_ptr<X509, decltype(&::X509_free)>;
using Memory = std::unique_ptr<BIO, decltype(&::BIO_free)>;
using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

// Peers know the key, so the dates keep nobody out; they are there because a certificate has to have them.
constexpr std::chrono::days kValidity{3650};
constexpr std::chrono::days kRenewal{365};
// The clocks of two hosts may differ.
constexpr std::chrono::hours kBackdating{24};
constexpr int kSerialBits = 127;

tl::unexpected<Error> not_made(const std::string& path) {
  return fail(ErrorCode::failed, "cannot make " + path + ": " + peer::openssl_error());
}

std::string content_of(BIO* memory) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(memory, &data);
  return size > 0 ? std::string(data, static_cast<std::size_t>(size)) : std::string();
}

Result<Key> make_key(const std::string& path) {
  Key key(::EVP_EC_gen("P-256"), &::EVP_PKEY_free);
  const Memory memory(::BIO_new(::BIO_s_secmem()), &::BIO_free);
  if (!key || !memory ||
      ::PEM_write_bio_PKCS8PrivateKey(memory.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1) {
    return not_made(path);
  }
  std::string text = content_of(memory.get());
  auto written = write_durably(path, text);
  ::OPENSSL_cleanse(text.data(), text.size());
  if (!written) return fail(written.error());
  return key;
}

/// What is there; nothing when there is no such file.
Result<Key> read_key(const std::string& path) {
  const File file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (!file && errno == ENOENT) return Key(nullptr, &::EVP_PKEY_free);
  if (!file) return fail_errno("cannot read this host's own key " + path, errno);
  Key key(::PEM_read_PrivateKey(file.get(), nullptr, nullptr, nullptr), &::EVP_PKEY_free);
  if (key) return key;
  return fail(ErrorCode::failed, "cannot read this host's own key " + path + ": " + peer::openssl_error(),
              "restore it from a backup; if it is lost, remove it and pair this host anew with all others");
}

bool add_extension(X509* certificate, int kind, const std::string& value) {
  const std::unique_ptr<X509_EXTENSION, decltype(&::X509_EXTENSION_free)> extension(
      ::X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()), &::X509_EXTENSION_free);
  return extension && ::X509_add_ext(certificate, extension.get(), -1) == 1;
}

bool set_serial(X509* certificate) {
  const std::unique_ptr<BIGNUM, decltype(&::BN_free)> number(::BN_new(), &::BN_free);
  return number && ::BN_rand(number.get(), kSerialBits, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
         ::BN_to_ASN1_INTEGER(number.get(), ::X509_get_serialNumber(certificate)) != nullptr;
}

bool set_dates(X509* certificate, TimePoint now) {
  const auto begin = std::chrono::system_clock::to_time_t(now - kBackdating);
  const auto end = std::chrono::system_clock::to_time_t(now + kValidity);
  return ::ASN1_TIME_set(::X509_getm_notBefore(certificate), begin) != nullptr &&
         ::ASN1_TIME_set(::X509_getm_notAfter(certificate), end) != nullptr;
}

Result<> make_certificate(const std::string& path, EVP_PKEY* key, const std::string& host, TimePoint now) {
  const Certificate certificate(::X509_new(), &::X509_free);
  // The host's name may be too long for a common name, which nobody looks at any more.
  static constexpr std::string_view kSubject = "vmigrate host";
  X509_NAME* subject = certificate ? ::X509_get_subject_name(certificate.get()) : nullptr;
  const bool made = certificate && ::X509_set_version(certificate.get(), X509_VERSION_3) == 1 &&
                    set_serial(certificate.get()) && set_dates(certificate.get(), now) &&
                    ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                                                 reinterpret_cast<const unsigned char*>(kSubject.data()),
                                                 static_cast<int>(kSubject.size()), -1, 0) == 1 &&
                    ::X509_set_issuer_name(certificate.get(), subject) == 1 &&
                    ::X509_set_pubkey(certificate.get(), key) == 1 &&
                    add_extension(certificate.get(), NID_basic_constraints, "critical,CA:FALSE") &&
                    add_extension(certificate.get(), NID_key_usage, "critical,digitalSignature") &&
                    add_extension(certificate.get(), NID_ext_key_usage, "serverAuth,clientAuth") &&
                    // A host's name has no letter that means anything here: see check_host_name().
                    add_extension(certificate.get(), NID_subject_alt_name, "DNS:" + host) &&
                    ::X509_sign(certificate.get(), key, ::EVP_sha256()) > 0;
  const Memory memory(::BIO_new(::BIO_s_mem()), &::BIO_free);
  if (!made || !memory || ::PEM_write_bio_X509(memory.get(), certificate.get()) != 1) return not_made(path);
  return write_durably(path, content_of(memory.get()));
}

/// Whether the certificate that is there will do.
bool is_good(const std::string& path, EVP_PKEY* key, const std::string& host, TimePoint now) {
  const File file(std::fopen(path.c_str(), "re"), &std::fclose);
  if (!file) return false;
  const Certificate certificate(::PEM_read_X509(file.get(), nullptr, nullptr, nullptr), &::X509_free);
  if (!certificate || ::X509_check_private_key(certificate.get(), key) != 1) return false;
  std::time_t soon = std::chrono::system_clock::to_time_t(now + kRenewal);
  const auto names = peer::certificate_names(certificate.get());
  return ::X509_cmp_time(::X509_get0_notAfter(certificate.get()), &soon) > 0 &&
         std::find(names.begin(), names.end(), host) != names.end();
}

}  // namespace

peer::CredentialFiles own_identity_files(const std::string& state_folder) {
  const std::string folder = state_folder + "/identity";
  return {folder + "/host.pem", folder + "/host.key", ""};
}

Result<peer::CredentialFiles> ensure_own_identity(const std::string& state_folder, const std::string& host,
                                                  TimePoint now) {
  const auto files = own_identity_files(state_folder);
  const auto folder = std::filesystem::path(files.key).parent_path();
  if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST)
    return fail_errno("cannot make the folder " + folder.string(), errno);
  ::ERR_clear_error();
  auto key = read_key(files.key);
  if (key && !*key) key = make_key(files.key);
  if (!key) return fail(key.error());
  if (!is_good(files.certificate, key->get(), host, now)) {
    ::ERR_clear_error();
    if (auto made = make_certificate(files.certificate, key->get(), host, now); !made)
      return fail(made.error());
  }
  ::ERR_clear_error();
  return files;
}

}  // namespace vmigrate::trust
