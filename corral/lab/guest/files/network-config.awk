# Reads NoCloud's network-config, version 1 or 2, in block style; flow lists [a, b] hold addresses.
# Writes a line for each NIC: MAC or name, "dhcp", "none" or address/length, gateway or -, DNS server or -

function scalar(text) {
    sub(/^[^:]*:[ \t]*/, "", text)
    gsub(/[]"'{}[,]/, " ", text)
    sub(/^ */, "", text); sub(/ .*$/, "", text)
    return text
}

function bits(mask,    octets, i, n, b) {
    split(mask, octets, ".")
    for (i = 1; i <= 4; i++) for (b = octets[i]; b > 0; b = int(b / 2)) n += b % 2
    return n
}

function flush() {
    if (nic == "") return
    if (address != "" && address !~ /\//) address = address "/" (netmask == "" ? 24 : netmask ~ /\./ ? bits(netmask) : netmask)
    kind = address != "" ? address : dhcp ? "dhcp" : "none"
    print (mac == "" ? nic : mac), kind, (gateway == "" ? "-" : gateway), (dns == "" ? "-" : dns)
    nic = mac = address = netmask = gateway = dns = ""; dhcp = 0; list = ""
}

function indent_of(line) { match(line, /^ */); return RLENGTH }

{ bare = $0; sub(/^[ \t]*(- *)?/, "", bare); key = bare; sub(/:.*/, "", key) }
/^[ \t]*(#|$)/ { next }
/^version:/ { version = scalar($0); next }
/^ethernets:/ { ethernets = 1; nic_indent = -1; next }
version != 2 && key == "type" {
    type = scalar(bare)
    if (type == "physical") { flush(); nic = "?" }
    else if (type ~ /^dhcp4?$/) dhcp = 1
    next
}
version != 2 && key == "name" { nic = scalar(bare); next }
ethernets && $0 !~ /^ *-/ && bare ~ /:[ \t]*$/ && (nic_indent < 0 || indent_of($0) == nic_indent) {
    flush(); nic_indent = indent_of($0); nic = key; next
}
key == "mac_address" || key == "macaddress" || (key == "match" && bare ~ /macaddress/) {
    if (key == "match") sub(/.*macaddress[^:]*:/, "macaddress:", bare)
    mac = scalar(bare); next
}
key == "dhcp4" { dhcp = scalar(bare) ~ /^(true|yes|on)$/; next }
key == "address" { address = scalar(bare); next }
key == "netmask" { netmask = scalar(bare); next }
key == "gateway" || key == "gateway4" || key == "via" { gateway = scalar(bare); next }
key == "nameservers" { in_dns = 1; list = ""; if (bare ~ /addresses/) { sub(/.*addresses[^:]*:/, "addresses:", bare); dns = scalar(bare); in_dns = 0 }; next }
key == "dns_nameservers" { list = "dns"; if (scalar(bare) != "") dns = scalar(bare); next }
key == "addresses" {
    list = in_dns ? "dns" : "address"; in_dns = 0
    if (scalar(bare) != "") { if (list == "dns") dns = scalar(bare); else address = scalar(bare) }
    next
}
/^ *- / && key !~ /^[a-z_]+[0-9]*$/ {
    gsub(/["']/, "", bare)
    if (list == "dns" && dns == "") dns = bare
    if (list == "address" && address == "") address = bare
    next
}
END { flush() }
