// libvirt's hook (https://libvirt.org/hooks.html): libvirtd runs it before it starts a VM, as
//   vmigrate-libvirt-hook NAME prepare begin - < the domain's XML
// and does not start it unless this ends with 0. It is asked about every VM, by autostart too, while migrated
// may not run yet; so it reads the journal itself.
#include <filesystem>
#include <iostream>
#include <string>
#include <string_view>

#include <pugixml.hpp>

#include "base/error.hpp"
#include "base/identifiers.hpp"
#include "daemon/configuration.hpp"
#include "handover/veto.hpp"

namespace vmigrate::hook {
namespace {

// libvirt's own limit of an XML is smaller.
constexpr std::size_t kLongestXml = std::size_t{16} << 20;

Result<VmId> read_id(std::istream& in) {
  std::string xml(kLongestXml, '\0');
  in.read(xml.data(), static_cast<std::streamsize>(xml.size()));
  pugi::xml_document document;
  if (!document.load_buffer(xml.data(), static_cast<std::size_t>(in.gcount())))
    return fail(ErrorCode::refused, "what libvirt says of the VM is no XML");
  return VmId::parse(document.child("domain").child_value("uuid"));
}

bool is_there(const std::string& path) {
  std::error_code error;
  return std::filesystem::exists(path, error) || error;
}

/// An error is the reason why the VM must not be started.
Result<> allow_start(const std::string& configuration_file) {
  const Result<daemon::Configuration> configuration =
      is_there(configuration_file) ? daemon::load_configuration(configuration_file) : daemon::Configuration();
  // Without it one cannot know where it is written which VMs were handed over.
  if (!configuration) return fail(configuration.error());
  const std::string path = configuration->paths.state + "/journal.db";
  if (!is_there(path)) return {};
  const auto vm = read_id(std::cin);
  if (!vm) return fail(vm.error());
  const auto journal = handover::open_journal(path);
  if (!journal) return fail(journal.error());
  if (auto veto = handover::veto_of_start(**journal, *vm, configuration->paths.runtime))
    return fail(std::move(*veto));
  return {};
}

int run(int argc, char** argv) {
  const std::string_view operation = argc > 2 ? argv[2] : "";
  const std::string_view step = argc > 3 ? argv[3] : "";
  if (operation != "prepare" || step != "begin") return EXIT_SUCCESS;
  const auto allowed = allow_start("/etc/vmigrate/migrated.toml");
  if (allowed) return EXIT_SUCCESS;
  // libvirt puts it into its own error.
  std::cerr << "vmigrate: " << argv[1] << " is not started here: " << allowed.error().message;
  if (!allowed.error().hint.empty()) std::cerr << " (" << allowed.error().hint << ")";
  std::cerr << "\n";
  return EXIT_FAILURE;
}

}  // namespace
}  // namespace vmigrate::hook

int main(int argc, char** argv) {
  return vmigrate::hook::run(argc, argv);
}
