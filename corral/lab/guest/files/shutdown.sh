#!/bin/sh
# Stands in for shutdown(8), as qemu-ga calls it. In the background, so that the agent still answers.
how=poweroff
for word in "$@"; do
    case "$word" in -r) how=reboot ;; esac
done
(
    echo "corral-guest: down ($how)" >/dev/console
    sync
    usleep 200000
    $how -f
) >/dev/null 2>&1 &
