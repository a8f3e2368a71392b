#!/bin/sh
# write-memory MIB_S [SIZE_MIB]: write to memory so fast, round and round over SIZE_MIB, until the next call; 0 stops.
# Each round writes other bytes than the one before: a page that is written but does not change is not dirty.
rate=$1 size=${2:-32} chunk=2 dir=/run/load
mkdir -p $dir
[ -s $dir/pid ] && kill "$(cat $dir/pid)" 2>/dev/null
: >$dir/pid
[ "$rate" -gt 0 ] || exit 0
echo $$ >$dir/pid
for source in a b; do
    [ -s $dir/$source ] || dd if=/dev/urandom of=$dir/$source bs=1M count=$chunk 2>/dev/null
done
[ -p $dir/pipe ] || mkfifo $dir/pipe
exec 3<>$dir/pipe
now() { # hundredths of a second, without a process
    read -r up _ </proc/uptime
    whole=${up%.*} part=${up#*.}
    now=$((whole * 100 + ${part#0}))
}
now
begin=$now written=0 at=0 source=a
while :; do
    dd if=$dir/$source of=$dir/memory bs=1M seek=$at conv=notrunc 2>/dev/null
    written=$((written + chunk)) at=$((at + chunk))
    if [ $at -ge "$size" ]; then
        at=0
        [ $source = a ] && source=b || source=a
    fi
    now
    ahead=$((written * 100 / rate - (now - begin)))
    if [ $ahead -gt 0 ]; then
        read -r -t $((ahead / 100)).$((ahead / 10 % 10))$((ahead % 10)) _ <&3
    elif [ $ahead -lt -100 ]; then # it can't keep up, or was paused: what was missed is not made up for
        begin=$now written=0
    fi
done
