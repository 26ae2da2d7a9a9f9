"""The disk of the small KVM guest: a boot block and nothing else."""

import tempfile
from pathlib import Path

from .errors import LabError
from .linux_image import GUESTS
from .processes import run

SIZE = 1 << 20


def assemble(program, *options):
    run("gcc", "-m32", "-nostdlib", "-static", "-no-pie", "-Wl,-m,elf_i386,-N,--build-id=none,-Ttext=0x7c00",
        *options, "-o", program, GUESTS / "writer.S")


def make_flat_program(path):
    """The same as an ELF program for a VMM that has no firmware: a line a pass."""
    assemble(path, "-Wl,-e,flat_start", "-DLINES")


def make_boot_disk(path, *options):
    """Assembles tests/guests/writer.S, with these options, into the first 512 bytes of the raw disk `path`."""
    with tempfile.TemporaryDirectory() as temporary:
        program = Path(temporary) / "program"
        assemble(program, "-Wl,--oformat=binary", *options)
        block = program.read_bytes()
    if len(block) != 512:
        raise LabError(f"the boot block has {len(block)} bytes")
    path.write_bytes(block.ljust(SIZE, b"\0"))


def passes(path):
    """(passes that the guest has told of in this file of its serial port, those in which it found a wrong page)."""
    try:
        said = path.read_bytes()
    except FileNotFoundError:
        return 0, 0
    wrong = said.count(b"!")
    return said.count(b".") + wrong, wrong
