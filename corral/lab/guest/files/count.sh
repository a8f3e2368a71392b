#!/bin/sh
# Print "count N UPTIME" on the console ten times a second, so that a pause of the guest shows as a gap.
# No process is started in the loop: reading from a pipe that stays empty is the pause.
pipe=/run/count.$$
mkfifo $pipe
exec 3<>$pipe
n=0
while :; do
    n=$((n + 1))
    read -r up _ </proc/uptime
    echo "count $n $up" >/dev/console
    read -r -t 0.1 _ <&3
done
