"""The Debian guest's disk: systemd, nginx and redis, as users run them, on an ext4 file system without partitions."""

import shutil
import tempfile
from pathlib import Path

from .linux_image import CACHE, CacheLock, digest_of, install_programs, program_sources
from .processes import run

PACKAGES = "systemd-sysv,dbus,nginx-light,redis-server,iproute2,procps"
SIZE = "2G"
SERVICE = """\
[Unit]
Description=The lab's own programs
[Service]
ExecStart=/usr/local/bin/lab-guest
[Install]
WantedBy=multi-user.target
"""


def debian_image():
    """The image, made in about a minute if it is not there yet. A guest needs a copy of its own."""
    with CacheLock():
        image = CACHE / f"debian-{digest_of([Path(__file__), *program_sources()])}"
        if not image.exists():
            with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
                root = Path(temporary) / "root"
                run("cp", "-a", "--reflink=auto", packages(), root)
                configure(root)
                made = Path(temporary) / "image"
                run("mke2fs", "-q", "-t", "ext4", "-d", root, made, SIZE)
                made.rename(image)
        return image


def packages():
    """The folder of an installed Debian, as it comes."""
    folder = CACHE / "debian-root"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=CACHE) as temporary:
            root = Path(temporary) / "root"
            run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", root)
            shutil.rmtree(root / "var/cache/apt/archives")
            root.rename(folder)
    return folder


def configure(root):
    (root / "etc/hostname").write_text("debian\n", encoding="utf-8")
    # Each guest draws its own.
    (root / "etc/machine-id").write_text("", encoding="utf-8")
    with open(root / "etc/redis/redis.conf", "a", encoding="utf-8") as settings:
        settings.write("bind 0.0.0.0\nprotected-mode no\n")
    install_programs(root / "usr/local/bin")
    (root / "etc/systemd/system/lab.service").write_text(SERVICE, encoding="utf-8")
    run("chroot", root, "systemctl", "enable", "lab.service")
    # Nothing that wakes up by itself in the middle of a test.
    run("chroot", root, "systemctl", "mask", "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer",
        "e2scrub_all.timer", "fstrim.timer", "logrotate.timer")
