"""A Linux kernel as it is installed, started by vmigrate-microvm."""

import os
import re
import subprocess
import threading
from pathlib import Path

import pytest
from labkit import linux_image, processes
from labkit.lab import REPOSITORY, has_kvm

pytestmark = pytest.mark.skipif(not has_kvm(), reason="/dev/kvm cannot be opened here")
PATIENCE = 60


def virtualises():
    """Whether the processor runs guests itself. A KVM that emulates their instructions does not know them all."""
    return re.search(r"^flags\s*:.*\b(svm|vmx)\b", Path("/proc/cpuinfo").read_text(encoding="ascii"), re.M)


class Console(threading.Thread):
    """Collects what a VM writes."""

    def __init__(self, stream):
        super().__init__(daemon=True)
        self.stream, self.lines = stream, []
        self.start()

    def run(self):
        for line in self.stream:
            self.lines.append(line.rstrip())

    def await_line(self, text):
        def find():
            return next((line for line in self.lines if text in line), None)
        return processes.wait_until(find, PATIENCE, f"the kernel to say '{text}': {self.lines}")


@pytest.fixture
def console():
    build = Path(os.environ.get("VMIGRATE_BUILD", REPOSITORY / "build/release"))
    kernel, initramfs = linux_image.boot_images("linux_init.sh")
    program = [build / "src/microvm/vmigrate-microvm", "--image", kernel, "--initrd", initramfs, "--memory", "256",
               "--command-line", "earlyprintk=ttyS0,keep console=ttyS0 nokaslr"]
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          encoding="utf-8", errors="replace") as process:
        try:
            yield Console(process.stdout)
        finally:
            process.kill()


def test_a_kernels_unpacker_finds_what_it_is_given(console):
    """It reads the parameters and the command line, and goes on in 64-bit mode."""
    console.await_line("KASLR disabled: 'nokaslr' on cmdline.")


@pytest.mark.skipif(not virtualises(), reason="this processor has no svm or vmx: KVM emulates every instruction, and does "
                    "not know all that a kernel uses")
def test_a_kernel_boots(console):
    console.await_line("Linux version")
    console.await_line("Run /init as init process")
