#include <memory>

#include <CLI/CLI.hpp>

#include "microvm/agent.hpp"
#include "microvm/linux_image.hpp"
#include "microvm/standalone.hpp"
#include "microvm/standby.hpp"

// vmigrate-microvm: a small VM that vmigrate can move; its reference for VMMs that embed the engine, and its
// test bed.
namespace vmigrate::microvm {
namespace {

struct Options {
  Configuration configuration{};
  std::string image{};
  std::string initrd{};
  std::string command_line{};
  std::string incoming{};
  std::string name{};
  std::string id{};
  bool standby = false;
  AgentSettings agent{};
  std::uint32_t first = 0;
  std::uint32_t second = 0;
};

Result<Image> load(const Options& options) {
  const auto file = load_file(options.image);
  if (!file) return fail(file.error());
  if (!is_linux(*file)) {
    if (options.initrd.empty() && options.command_line.empty()) return read_image(*file);
    return fail(ErrorCode::usage, options.image + " is no Linux kernel, and takes no initrd or command line");
  }
  LinuxOptions given{options.command_line, {}};
  if (!options.initrd.empty()) {
    auto initrd = load_file(options.initrd);
    if (!initrd) return fail(initrd.error());
    given.initrd = std::move(*initrd);
  }
  return read_linux(*file, given, options.configuration.memory);
}

Result<std::unique_ptr<VirtualMachine>> make(const Options& options) {
  auto vm = VirtualMachine::create(options.configuration);
  if (!vm || options.image.empty()) return vm;
  const auto program = load(options);
  if (!program) return fail(program.error());
  if (auto booted = (*vm)->boot(*program, options.first, options.second); !booted)
    return fail(booted.error());
  return vm;
}

/// The VM is `migrated`'s to move.
int serve_registered(const Options& options, std::unique_ptr<VirtualMachine> vm) {
  auto id = options.id.empty() ? VmId::random() : VmId::parse(options.id);
  if (!id) return report(id.error());
  if (auto checked = check_name(options.name); !checked) return report(checked.error());
  Agent agent(options.agent, Identity{*id, options.name}, std::move(vm));
  const auto served = agent.serve();
  return served ? 0 : report(served.error());
}

int run(const Options& options) {
  if (options.standby) return stand_by(options.agent);
  auto vm = make(options);
  if (!vm) return report(vm.error());
  if (!options.name.empty()) return serve_registered(options, std::move(*vm));
  return options.incoming.empty() ? serve(**vm) : receive_and_serve(**vm, options.incoming);
}

}  // namespace
}  // namespace vmigrate::microvm

int main(int count, char** arguments) {
  CLI::App application(
      "A small VM that vmigrate can move. With --name it is a VM of this host's migrated, as a libvirt "
      "domain is; with "
      "--standby this host takes in such VMs. With neither, lines on standard input are for the guest, but "
      "for "
      "\"!send PATH\", which moves it to a vmigrate-microvm --incoming PATH, and \"!resume\".",
      "vmigrate-microvm");
  vmigrate::microvm::Options options;
  options.agent.socket = "/run/vmigrate/vmms.sock";
  std::uint64_t mib = 32;
  auto* image = application.add_option("--image", options.image,
                                       "A flat image, a 32-bit ELF program or a Linux bzImage");
  application.add_option("--initrd", options.initrd, "For a Linux kernel")->needs(image);
  application.add_option("--command-line", options.command_line, "Likewise")->needs(image);
  application.add_option("--memory", mib, "MiB")->check(CLI::Range(2, 1 << 20))->capture_default_str();
  application.add_option("--vcpus", options.configuration.vcpus, "1 to 4")->capture_default_str();
  application.add_option("--first", options.first, "A number for the guest");
  application.add_option("--second", options.second, "Another one");
  auto* name = application.add_option("--name", options.name, "What vmigrate is to call it")->needs(image);
  application.add_option("--uuid", options.id, "Its UUID; otherwise a new one")->needs(name);
  auto* standby =
      application.add_flag("--standby", options.standby, "Wait for VMs to arrive, one after the other")
          ->excludes(image);
  application.add_option("--socket", options.agent.socket, "Where migrated listens for VMMs")
      ->capture_default_str();
  application.add_option(
      "--console-folder", options.agent.console_folder,
      "The guest's serial console is NAME.console there, and NAME.input is typed; otherwise "
      "standard output");
  application
      .add_option("--incoming", options.incoming, "Wait for a VM on this Unix socket, without migrated")
      ->excludes(image)
      ->excludes(standby);
  CLI11_PARSE(application, count, arguments);
  if (options.image.empty() && options.incoming.empty() && !options.standby) {
    std::cerr << "vmigrate-microvm: one of --image, --standby and --incoming is needed\n";
    return vmigrate::exit_code(vmigrate::ErrorCode::usage);
  }
  options.configuration.memory = vmigrate::microvm::memory_with_hole(mib << 20);
  return vmigrate::microvm::run(options);
}
