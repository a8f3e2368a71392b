#!/bin/sh
# Bring the NICs up as network-config says (version 1 or 2, block style), or by DHCP; then say that the guest is up.
up() {  # once
    mkdir /run/up 2>/dev/null && echo "corral-guest: up $(hostname) $1" >/dev/console
}

static() {  # device, address/length, gateway, DNS
    ip addr add "$2" dev "$1"
    [ "$3" = - ] || ip route add default via "$3"
    [ "$4" = - ] || echo "nameserver $4" >>/etc/resolv.conf
    up "${2%/*}"
}

config() {  # lines: MAC or name, dhcp or address/length, gateway, DNS
    [ -s /run/seed/network-config ] && awk -f /etc/network-config.awk /run/seed/network-config
}

nics=$(cd /sys/class/net && for nic in *; do [ "$nic" = lo ] || echo "$nic"; done)
config >/run/seed/nics
for nic in $nics; do
    ip link set "$nic" up
    read -r mac <"/sys/class/net/$nic/address"
    found=$(grep -i -e "^$nic " -e "^$mac " /run/seed/nics | head -n 1)
    set -- ${found:-"$nic" dhcp - -}
    case "$2" in
    dhcp) udhcpc -i "$nic" -s /etc/dhcp -f -S -t 60 -T 1 -A 1 -x "hostname:$(hostname)" >/dev/null 2>&1 & ;;
    none) ;;
    *) static "$nic" "$2" "$3" "$4" ;;
    esac
done
[ -n "$nics" ] || up -
sleep 20  # nobody answers DHCP: up all the same, without an address
up -
