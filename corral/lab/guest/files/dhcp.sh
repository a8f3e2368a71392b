#!/bin/sh
# What udhcpc calls when it got, renewed or lost an address.
case "$1" in
deconfig) ip addr flush dev "$interface" ;;
bound | renew)
    ip addr replace "$ip/$mask" dev "$interface"
    [ -n "$mtu" ] && ip link set "$interface" mtu "$mtu"
    for gateway in $router; do ip route replace default via "$gateway" dev "$interface" && break; done
    : >/etc/resolv.conf
    for server in $dns; do echo "nameserver $server" >>/etc/resolv.conf; done
    mkdir /run/up 2>/dev/null && echo "corral-guest: up $(hostname) $ip" >/dev/console
    ;;
esac
