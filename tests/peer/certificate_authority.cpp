#include "certificate_authority.hpp"

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <stdexcept>

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

namespace vmigrate::peer {
namespace {

void require(bool good, const char* what) {
  if (!good) throw std::runtime_error(std::string("making certificates: ") + what);
}

std::string make_folder() {
  std::string pattern = std::filesystem::temp_directory_path() / "vmigrate-certificates-XXXXXX";
  require(::mkdtemp(pattern.data()) != nullptr, "mkdtemp");
  return pattern;
}

using File = std::unique_ptr<std::FILE, decltype(&std::fclose)>;

File open_for_writing(const std::string& path) {
  File file(std::fopen(path.c_str(), "w"), &std::fclose);
  require(file != nullptr, "fopen");
  return file;
}

void write_certificate(const std::string& path, X509* certificate) {
  require(::PEM_write_X509(open_for_writing(path).get(), certificate) == 1, "PEM_write_X509");
}

void write_key(const std::string& path, EVP_PKEY* key) {
  require(
      ::PEM_write_PrivateKey(open_for_writing(path).get(), key, nullptr, nullptr, 0, nullptr, nullptr) == 1,
      "PEM_write_PrivateKey");
}

void add_extension(X509* certificate, int kind, const std::string& value) {
  const std::unique_ptr<X509_EXTENSION, decltype(&::X509_EXTENSION_free)> extension(
      ::X509V3_EXT_conf_nid(nullptr, nullptr, kind, value.c_str()), &::X509_EXTENSION_free);
  require(extension && ::X509_add_ext(certificate, extension.get(), -1) == 1, "X509_add_ext");
}

}  // namespace

CertificateAuthority::CertificateAuthority()
    : folder_(make_folder()), key_(make_key()), certificate_(nullptr, &::X509_free) {
  // Longer than any certificate that it signs.
  certificate_ = sign(key_.get(), {.names = {}, .ends = std::chrono::days(3650)}, true);
  write_certificate(certificate_file(), certificate_.get());
}

CertificateAuthority::~CertificateAuthority() {
  std::error_code ignored;
  std::filesystem::remove_all(folder_, ignored);
}

CredentialFiles CertificateAuthority::issue(const CertificateWish& wish) {
  const std::string stem = in_folder("host" + std::to_string(serial_));
  const Key key = make_key();
  const Certificate certificate = sign(key.get(), wish, false);
  write_certificate(stem + ".pem", certificate.get());
  write_key(stem + ".key", key.get());
  return {stem + ".pem", stem + ".key", certificate_file()};
}

CertificateAuthority::Key CertificateAuthority::make_key() {
  Key key(::EVP_EC_gen("P-256"), &::EVP_PKEY_free);
  require(key != nullptr, "EVP_EC_gen");
  return key;
}

CertificateAuthority::Certificate CertificateAuthority::sign(EVP_PKEY* key, const CertificateWish& wish,
                                                             bool authority) {
  Certificate certificate(::X509_new(), &::X509_free);
  require(certificate != nullptr, "X509_new");
  ::X509_set_version(certificate.get(), X509_VERSION_3);
  ::ASN1_INTEGER_set(::X509_get_serialNumber(certificate.get()), serial_++);
  ::X509_gmtime_adj(::X509_getm_notBefore(certificate.get()), std::chrono::seconds(wish.begins).count());
  ::X509_gmtime_adj(::X509_getm_notAfter(certificate.get()), std::chrono::seconds(wish.ends).count());
  ::X509_set_pubkey(certificate.get(), key);
  const std::string title = authority ? "test authority" : "test host";
  X509_NAME* subject = ::X509_get_subject_name(certificate.get());
  ::X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(title.c_str()), -1, -1, 0);
  ::X509_set_issuer_name(certificate.get(),
                         authority ? subject : ::X509_get_subject_name(certificate_.get()));
  add_extension(certificate.get(), NID_basic_constraints,
                authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  std::string names;
  for (const auto& name : wish.names) names += (names.empty() ? "DNS:" : ",DNS:") + name;
  if (!names.empty()) add_extension(certificate.get(), NID_subject_alt_name, names);
  if (!wish.extended_key_usage.empty())
    add_extension(certificate.get(), NID_ext_key_usage, wish.extended_key_usage);
  require(::X509_sign(certificate.get(), key_.get(), ::EVP_sha256()) > 0, "X509_sign");
  return certificate;
}

}  // namespace vmigrate::peer
