"""What vmigrate refuses emulated VMs for, and what the lab's own guests are spared by, shown with two QEMUs alone."""

import subprocess
from contextlib import ExitStack

import pytest
from benchkit.qmp import Monitor
from labkit.boot_block import make_boot_disk, passes
from labkit.domain import uneven_size
from labkit.processes import wait_until

PATIENCE = 60
MEMORY = 64  # MiB
# Few enough pages for the emulation to remember how to write to all of them.
WRITTEN = "-DEND=0x170000"


class Qemu:
    def __init__(self, folder, name, size, *arguments):
        self.serial = folder / f"{name}.serial"
        self.process = subprocess.Popen(
            ["qemu-system-x86_64", "-accel", "tcg", "-nodefaults", "-display", "none", "-m", f"size={size}B",
             "-drive", f"file={folder / 'writer.img'},format=raw,snapshot=on", "-serial", f"file:{self.serial}",
             "-qmp", f"unix:{folder / name}.qmp,server=on,wait=off", *arguments])
        self.monitor = Monitor(folder / f"{name}.qmp", lambda: self.process.poll() is None)

    def passes(self):
        """(passes of the writer since this QEMU runs it, those in which a page was not as it had left it)."""
        return passes(self.serial)

    def goes_on(self):
        """Until it has looked at every page."""
        before, _ = self.passes()
        wait_until(lambda: self.passes()[0] > before + 2, PATIENCE, "the guest to write")

    def is_fixed(self):
        return self.monitor.run("query-version")["qemu"]["major"] >= 9

    def passes_of_memory(self):
        return self.monitor.run("query-migrate").get("ram", {}).get("dirty-sync-count", 0)

    def has_ended(self):
        status = self.monitor.run("query-migrate")["status"]
        assert status != "failed"
        return status == "completed"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.monitor.close()
        self.process.kill()
        self.process.wait()


@pytest.mark.parametrize("size", [MEMORY << 20, uneven_size(MEMORY)], ids=["a multiple of 256 KiB", "the lab's"])
def test_qemu_keeps_what_an_emulated_guest_writes(tmp_path, size):
    make_boot_disk(tmp_path / "writer.img", WRITTEN)
    socket = f"unix:{tmp_path}/memory"
    with ExitStack() as started:
        destination, source = (started.enter_context(Qemu(tmp_path, *arguments)) for arguments in
                               (("destination", size, "-incoming", socket), ("source", size)))
        source.goes_on()
        # What it writes is more than may be left at the end: the migration goes round until it is let go, or until QEMU
        # has lost sight of what is written.
        source.monitor.run("migrate-set-parameters", **{"max-bandwidth": 1 << 20, "downtime-limit": 10})
        source.monitor.run("migrate", uri=socket)
        wait_until(lambda: source.passes_of_memory() > 3 or source.has_ended(), PATIENCE, "a few passes")
        source.monitor.run("migrate-set-parameters", **{"downtime-limit": 2000})
        wait_until(source.has_ended, PATIENCE, "the end of the migration")
        destination.goes_on()
        assert (destination.passes()[1] == 0) == (source.is_fixed() or size == uneven_size(MEMORY))
        assert source.passes()[1] == 0
