"""Domain descriptions for libvirt."""

import xml.etree.ElementTree as ET

QEMU = "http://libvirt.org/schemas/domain/qemu/1.0"
ET.register_namespace("qemu", QEMU)


def describe(guest):
    """The XML of a guest.Guest."""
    settings = guest.settings
    root = ET.Element("domain", type="kvm" if settings["kind"] == "kvm" else "qemu")
    text(root, "name", guest.name)
    text(root, "uuid", settings["uuid"])
    text(root, "memory", str(settings["memory"]), unit="MiB")
    text(root, "vcpu", str(settings["vcpus"]))
    add_system(root, guest)
    features = ET.SubElement(root, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    processor = ET.SubElement(root, "cpu", mode="custom", match="exact", check="none")
    text(processor, "model", "qemu64")
    ET.SubElement(root, "clock", offset="utc")
    add_devices(ET.SubElement(root, "devices"), guest)
    if settings["kind"] != "kvm" and guest.lab.uneven_memory:
        add_uneven_memory(root, settings["memory"])
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"


def text(parent, name, content, **attributes):
    ET.SubElement(parent, name, **attributes).text = content


def add_system(root, guest):
    system = ET.SubElement(root, "os")
    text(system, "type", "hvm", arch="x86_64", machine=guest.settings["machine"])
    if guest.settings["kind"] != "kvm":
        settings = guest.settings
        kernel, initramfs = guest.boot_files
        text(system, "kernel", str(kernel))
        text(system, "initrd", str(initramfs))
        text(system, "cmdline", f"console=ttyS0 loglevel=4 panic=1 net.ifnames=0 lab.number={guest.number} "
                                f"lab.checked={settings['checked']} lab.rate={settings['dirty_rate']}")


def uneven_size(mebibytes):
    """
    The size in bytes of an emulated guest's memory of which QEMU loses nothing. Before 9.0 it does when it migrates: it
    collects what is dirty 64 pages at a time, and there forgets to tell the emulation, which goes on writing to them
    without a mark (QEMU's commit 03bfc2188f). Memory that is not a multiple of these 256 KiB it collects page by page,
    and does tell. 8 KiB less is the nearest size that QEMU takes.
    """
    return mebibytes * 2**20 - 8192


def add_uneven_memory(root, mebibytes):
    """Gives a domain in XML memory of that size, past libvirt, which rounds up to MiB."""
    size = uneven_size(mebibytes)
    command_line = ET.SubElement(root, f"{{{QEMU}}}commandline")
    arguments = ["-object", f"memory-backend-ram,id=lab.ram,size={size}",
                 "-machine", "memory-backend=lab.ram", "-m", f"size={size}B"]
    for argument in arguments:
        ET.SubElement(command_line, f"{{{QEMU}}}arg", value=argument)


def add_devices(devices, guest):
    text(devices, "emulator", "/usr/bin/qemu-system-x86_64")
    disk = ET.SubElement(devices, "disk", type="file", device="disk")
    # Without the page cache: only then is a disk on shared storage safe to migrate.
    ET.SubElement(disk, "driver", name="qemu", type=guest.settings["disk_format"], cache="none")
    ET.SubElement(disk, "source", file=str(guest.disk))
    ET.SubElement(disk, "target", dev="vda", bus="virtio")
    for number, mac in enumerate(guest.macs):
        interface = ET.SubElement(devices, "interface", type="bridge")
        ET.SubElement(interface, "mac", address=mac)
        ET.SubElement(interface, "source", bridge=f"br{number}")
        ET.SubElement(interface, "model", type="virtio")
        # Nothing boots from the network, and looking for it takes seconds.
        ET.SubElement(interface, "rom", enabled="no")
    serial = ET.SubElement(devices, "serial", type="file")
    # A QEMU that waits for a guest must not empty what the guest has said so far.
    ET.SubElement(serial, "source", path=str(guest.serial), append="on")
