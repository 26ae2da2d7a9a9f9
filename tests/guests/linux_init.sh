#!/bin/busybox sh
# The first and only shell of the lab's small Linux guest. Settings come from the kernel's command line:
#   lab.number=N      its addresses are 10.78.0.N (and 10.79.0.N on a second interface)
#   lab.checked=MIB   memory that the memory checker watches
#   lab.rate=PAGES    pages a second that it writes
/bin/busybox mkdir -p /proc /sys /dev /tmp /sbin
/bin/busybox --install -s /bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev

for setting in $(cat /proc/cmdline); do
  case $setting in
    lab.*=*) export "lab_${setting#lab.}" ;;
  esac
done

while read -r module; do
  insmod "/modules/$module"
done < /modules/order

ip link set lo up
network=78
for interface in eth0 eth1; do
  [ -e /sys/class/net/$interface ] || continue
  ip address add "10.$network.0.$lab_number/24" dev $interface
  ip link set $interface up
  network=$((network + 1))
done

fork_detector 10.78.0.1 9001 &
echo_server &
memory_checker "$lab_checked" "$lab_rate" &
# Writes that go through to the shared disk, so that a copy that runs where it should not is seen on it too.
if [ -e /dev/vda ]; then
  (while true; do date +%s | dd of=/dev/vda bs=4096 count=1 oflag=direct conv=sync 2> /dev/null; sleep 1; done) &
fi
echo "guest $lab_number is up"
# The serial port is a file at the other end: nobody types there.
while true; do wait; sleep 3600; done
