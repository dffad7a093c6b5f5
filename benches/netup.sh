#!/bin/sh
# Makes the device that `limit --device ifb` sends to, in the network namespace it is run in; `limit` runs it in one of its
# own, which ends with it. By hand: unshare --net sh benches/netup.sh
#
# An ifb device frees whatever is sent to it at once: a network card whose driver costs nothing. 198.18.0.0/15 is set apart
# for measurements (RFC 2544).
set -eu
if ip link show type ifb | grep -q ifb; then
    echo "there is an ifb device already; this is meant for a fresh namespace" >&2
    exit 1
fi
ip link set lo up
ip link add sink type ifb
ip address add 10.90.0.1/24 dev sink
ip link set sink up
ip route add 198.18.0.0/15 via 10.90.0.254 dev sink
