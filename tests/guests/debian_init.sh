#!/bin/busybox sh
# The first process of the lab's Debian guest: goes on to the system on its disk.
# shellcheck shell=dash source=tests/guests/early_init.sh
. /early_init.sh
mkdir -p /root
mount -t ext4 /dev/vda /root
for folder in proc sys dev; do
  mount -o move /$folder /root/$folder
done
exec switch_root /root /sbin/init
