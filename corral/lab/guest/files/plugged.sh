#!/bin/sh
# What BusyBox's uevent calls for each change of hardware: as udev does elsewhere, CPUs come online and NICs up.
[ "$ACTION" = add ] || exit 0
case "$SUBSYSTEM" in
virtio)
    case "$MODALIAS" in  # a SCSI controller: few guests have one from the start
    virtio:d00000008*) while read -r module; do insmod "/lib/modules/$module" 2>/dev/null; done </etc/modules.then ;;
    esac
    ;;
cpu) echo 1 >"/sys$DEVPATH/online" ;;
net)
    ip link set "$INTERFACE" up
    udhcpc -i "$INTERFACE" -s /etc/dhcp -f -t 60 -T 1 -A 1 -x "hostname:$(hostname)" >/dev/null 2>&1 &
    ;;
esac
