#!/bin/busybox sh
# The first process of the lab's small Linux guest, which lives in its initramfs.
# shellcheck shell=dash source=tests/guests/early_init.sh
. /early_init.sh
# Writes that go through to the shared disk, so that a copy that runs where it should not is seen there too.
disk_checker /dev/vda 32 10 &
# Told "poweroff" or "reboot", it does so.
while true; do $(nc -l -p 9004) -f; done &
lab-guest
# Nobody types at the serial port: it is a file at the other end.
while true; do sleep 3600; done
