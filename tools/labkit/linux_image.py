"""What Linux guests boot from: Debian's cloud kernel and an initramfs of busybox and the programs in tests/guests.

What is fetched or built is kept in /var/cache/vmigrate-lab.
"""

import fcntl
import hashlib
import os
import re
import shutil
import stat
import tempfile
from pathlib import Path

from .errors import LabError
from .processes import run

CACHE = Path("/var/cache/vmigrate-lab")
GUESTS = Path(__file__).resolve().parents[2] / "tests/guests"
PROGRAMS = ("disk_checker", "echo_server", "fork_detector", "memory_checker", "workload")
MODULES = ("virtio_pci", "virtio_net", "virtio_blk")
BUSYBOX = Path("/bin/busybox")


class CacheLock:
    """Two labs must not fill the cache at once."""

    def __enter__(self):
        CACHE.mkdir(parents=True, exist_ok=True)
        self.file = open(CACHE / "lock", "w", encoding="utf-8")
        fcntl.flock(self.file, fcntl.LOCK_EX)

    def __exit__(self, *_):
        self.file.close()


def boot_images(init):
    """(kernel, initramfs with the first process tests/guests/`init`), made if they are not there yet."""
    with CacheLock():
        kernel, modules = unpack_kernel()
        return kernel, build_initramfs(init, kernel, modules)


def unpack_kernel():
    """(kernel image, folder of its modules) of the package that linux-image-cloud-amd64 stands for."""
    folder = CACHE / "kernel"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            name = kernel_package()
            run("apt-get", "download", "-q", name, cwd=temporary)
            package, = Path(temporary).glob("*.deb")
            unpacked = Path(temporary) / "kernel"
            run("dpkg-deb", "-x", package, unpacked)
            version = next((unpacked / "lib/modules").iterdir()).name
            run("depmod", "-b", unpacked, version)
            unpacked.rename(folder)
    return next((folder / "boot").glob("vmlinuz-*")), next((folder / "lib/modules").iterdir())


def kernel_package():
    said = run("apt-cache", "depends", "linux-image-cloud-amd64", check=False).stdout
    found = re.search(r"Depends: (linux-image-\S+)", said)
    if not found:
        raise LabError("apt knows no linux-image-cloud-amd64", "apt-get update")
    return found.group(1)


def module_order(modules):
    """Paths of the wanted modules and all they need, each after what it needs."""
    needs = {}
    for line in (modules / "modules.dep").read_text(encoding="utf-8").splitlines():
        module, _, needed = line.partition(":")
        needs[module] = needed.split()
    by_name = {Path(module).stem: module for module in needs}
    order = []
    for wanted in MODULES:
        # modules.dep lists what is needed last first.
        for module in (*reversed(needs[by_name[wanted]]), by_name[wanted]):
            if module not in order:
                order.append(module)
    return order


def build_initramfs(init, kernel, modules):
    sources = [GUESTS / init, GUESTS / "early_init.sh", *program_sources(), BUSYBOX]
    image = CACHE / f"initramfs-{digest_of(sources, init, kernel)}"
    if image.exists():
        return image
    with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
        root = Path(temporary) / "root"
        fill_root(root, init, modules)
        files = run("find", ".", cwd=root).stdout
        # Not compressed: an emulated processor unpacks slowly.
        run("cpio", "--quiet", "-o", "-H", "newc", "-R", "0:0", "-F", Path(temporary) / "image", cwd=root, input=files)
        (Path(temporary) / "image").rename(image)
    return image


def program_sources():
    """What install_programs makes programs from."""
    return [GUESTS / "lab_guest.sh", *(GUESTS / f"{name}.c" for name in PROGRAMS)]


def digest_of(files, *others):
    """Changes when any of the files or of the other values does."""
    digest = hashlib.sha256(repr([str(other) for other in others]).encode())
    for file in files:
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def install_programs(folder):
    """The guests' own programs, which need no libraries."""
    for name in PROGRAMS:
        run("gcc", "-std=c17", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s",
            "-o", folder / name, GUESTS / f"{name}.c")
    shutil.copy(GUESTS / "lab_guest.sh", folder / "lab-guest")
    (folder / "lab-guest").chmod(0o755)


def fill_root(root, init, modules):
    for folder in ("bin", "dev", "modules"):
        (root / folder).mkdir(parents=True)
    os.mknod(root / "dev/console", 0o600 | stat.S_IFCHR, os.makedev(5, 1))
    shutil.copy(BUSYBOX, root / "bin/busybox")
    shutil.copy(GUESTS / "early_init.sh", root)
    shutil.copy(GUESTS / init, root / "init")
    (root / "init").chmod(0o755)
    install_programs(root / "bin")
    order = module_order(modules)
    for module in order:
        shutil.copy(modules / module, root / "modules")
    names = "".join(f"{Path(module).name}\n" for module in order)
    (root / "modules/order").write_text(names, encoding="utf-8")
