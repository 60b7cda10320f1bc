#!/bin/busybox sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Init of a guest in the test bed that has guests of its own (tests/src/testbed.rs): mounts, kvm, the script, power off.
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
for module in irqbypass kvm kvm-amd; do
    insmod /modules/$module.ko || echo "nested: no module $module"
done
cd /in
sh ./.script
echo "nested: script ended with $?"
poweroff -f
