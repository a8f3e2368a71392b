#!/bin/sh
# The whole start of the test guest: devices, seed, agent, network, ssh. BusyBox init runs it once.
export PATH=/bin:/sbin:/usr/bin:/usr/sbin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/pts /dev/shm /dev/virtio-ports /run/seed /run/user
mount -t devpts pts /dev/pts
mount -t tmpfs run /run/user
exec </dev/null >/dev/console 2>&1

while read -r module; do insmod "/lib/modules/$module"; done </etc/modules.first
ip link set lo up

is_seed() {  # the volume id stands at byte 40 of block 16
    [ "$(dd if="$1" bs=2048 skip=16 count=1 2>/dev/null | dd bs=1 skip=40 count=6 2>/dev/null)" = cidata ]
}

find_seed() {
    for disk in /dev/vd? /dev/sr? /dev/sd?; do
        [ -b "$disk" ] && is_seed "$disk" && mount -t iso9660 -o ro "$disk" /mnt && return 0
    done
    return 1
}

if ! find_seed; then  # maybe on IDE or SCSI, which few guests have
    while read -r module; do insmod "/lib/modules/$module"; done </etc/modules.then
    find_seed
fi
for part in meta-data user-data network-config vendor-data; do
    [ -f "/mnt/$part" ] && tr -d '\r' <"/mnt/$part" >"/run/seed/$part"
done
umount /mnt 2>/dev/null

. /etc/seed
/etc/power &
uevent /etc/plugged &
/etc/agent &
/etc/network &
dropbear -R -E 2>/run/dropbear.log

tries=0  # the shell comes after the line that says the guest is up, unless there is no network for long
until [ -d /run/up ] || [ $tries -ge 30 ]; do
    tries=$((tries + 1))
    usleep 100000
done
[ -s /run/seed/script ] && { sh /run/seed/script </dev/null >/dev/console 2>&1 & }
exit 0
