#!/bin/sh
# Runs a command on one of hosts_test's hosts, as ssh would: `on_host.sh HOST COMMAND...`. A host is a network namespace
# with a host name.
host=$1
shift
exec ip netns exec "$host" unshare --uts sh -c 'hostname "$0" && eval "$1"' "$host" "$*"
