#!/bin/sh
# Start QEMU's guest agent once its port is there.
tries=0
while [ $tries -lt 50 ]; do
    for port in /sys/class/virtio-ports/*; do
        [ -s "$port/name" ] || continue
        read -r name <"$port/name" && ln -sf "../${port##*/}" "/dev/virtio-ports/$name"
    done
    port=/dev/virtio-ports/org.qemu.guest_agent.0
    [ -e $port ] && exec qemu-ga -m virtio-serial -p $port -t /run -l /run/qemu-ga.log
    tries=$((tries + 1))
    usleep 100000
done
