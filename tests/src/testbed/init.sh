#!/bin/busybox sh
# SPDX-License-Identifier: MIT OR GPL-2.0-only
# Init of the test bed's host (tests/src/testbed.rs): mounts, modules, the script, its results to the disk, power off.
/bin/busybox --install -s /bin
export PATH=/usr/bin:/bin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
mkdir -p /dev/shm /out
mount -t tmpfs shm /dev/shm
mount -t tracefs tracefs /sys/kernel/tracing
mount -t debugfs debugfs /sys/kernel/debug
while read module; do
    insmod /modules/$module.ko || echo "testbed: no module $module"
done < /modules/list
ulimit -c 0
cd /in
sh ./.script
status=$?
cd /
# The disk is there some time after its driver.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    [ -b /dev/vda ] && break
    sleep 0.2
done
tar -c -f /dev/vda -C /out . || status="$status, and its results do not fit"
sync
echo "testbed: script ended with $status"
poweroff -f
