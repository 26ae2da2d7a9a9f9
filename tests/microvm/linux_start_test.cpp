#include <fcntl.h>
#include <gmock/gmock.h>

#include "made_up_kernel.hpp"
#include "microvm/linux_image.hpp"
#include "microvm/virtual_machine.hpp"

namespace vmigrate::microvm {
namespace {

using testing::HasSubstr;

constexpr std::chrono::seconds kStartPatience{60};

/// A freestanding program in the place of a kernel, which any KVM can run.
class LinuxStart : public testing::Test {
 protected:
  void SetUp() override {
    const FileDescriptor kvm(::open("/dev/kvm", O_RDWR | O_CLOEXEC));
    if (!kvm) GTEST_SKIP() << "/dev/kvm does not open here";
    configuration_.memory = memory_with_hole(std::uint64_t{16} << 20);
    const auto file = load_file(VMIGRATE_GUESTS "/linux_entry");
    ASSERT_TRUE(file);
    const auto program = read_image(*file);
    ASSERT_TRUE(program);
    const LinuxOptions options{"root=none", copy_of(as_byte_view("the initrd"))};
    auto image = read_linux(make_bzimage(program->parts.at(0).content), options, configuration_.memory);
    ASSERT_TRUE(image) << image.error().message;
    image_ = std::move(*image);
  }

  Configuration configuration_;
  Image image_;
};

TEST_F(LinuxStart, TheKernelFindsWhatIsPromised) {
  auto vm = VirtualMachine::create(configuration_);
  ASSERT_TRUE(vm) << vm.error().message;
  ASSERT_TRUE((*vm)->boot(image_, 1, 2));
  (*vm)->run();
  auto& devices = (*vm)->devices();
  EXPECT_EQ(devices.await_line("memory", kStartPatience), "memory 0 655360 1") << (*vm)->failure();
  EXPECT_EQ(devices.await_line("memory", kStartPatience), "memory 1048576 16121856 1");
  EXPECT_EQ(devices.await_line("registers", kStartPatience),
            "registers 0 command line root=none initrd the initrd");
}

TEST_F(LinuxStart, OneVcpuIsAllThatItWouldFind) {
  configuration_.vcpus = 2;
  auto vm = VirtualMachine::create(configuration_);
  ASSERT_TRUE(vm) << vm.error().message;
  const auto booted = (*vm)->boot(image_, 0, 0);
  ASSERT_FALSE(booted);
  EXPECT_THAT(booted.error().message, HasSubstr("one vCPU"));
}

}  // namespace
}  // namespace vmigrate::microvm
