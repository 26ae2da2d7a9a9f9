#!/bin/sh
# What both Linux guests of the lab do once they are up. Settings come from the kernel's command line:
#   lab.number=N      its addresses are 10.78.0.N (and 10.79.0.N on a second interface)
#   lab.checked=MIB   memory that the memory checker watches
#   lab.rate=PAGES    pages a second that it writes
# Words are what is wanted here, and the variables that they become are not seen to be assigned.
# shellcheck disable=SC2013,SC2154
for setting in $(cat /proc/cmdline); do
  case $setting in
    lab.*=*) export "lab_${setting#lab.}" ;;
  esac
done

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
workload &
echo "guest $lab_number is up"
wait
