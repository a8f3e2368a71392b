#!/bin/sh
# Shut down when the ACPI power button is pressed: the first event of that input device.
for event in /sys/class/input/event*; do
    read -r name <"$event/device/name"
    [ "$name" = "Power Button" ] || continue
    (dd bs=24 count=1 <"/dev/input/${event##*/}" >/dev/null 2>&1 && shutdown -P) &
done
