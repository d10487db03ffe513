#!/bin/sh
# Makes hosts for hosts_test. `make_hosts.sh N FOLDER` makes the network namespaces host1 to hostN, each with an
# interface eth0 with the address 10.9.0.I. The caller connects the other ends of these links, port1 to portN. Run it in
# network and mount namespaces of its own: all that it makes ends with them.
set -eu
hosts=$1
folder=$2
# Mounts an empty folder where `ip netns` keeps its names, so that the machine's own names are not changed.
mount --make-rprivate /
mkdir -p /run/netns
mount -t tmpfs none /run/netns
echo "127.0.0.1 localhost" > "$folder/hosts"
ip link set dev lo up
for i in $(seq "$hosts"); do
  ip netns add "host$i"
  ip link add "port$i" type veth peer name eth0 netns "host$i"
  ip link set dev "port$i" up
  ip -n "host$i" address add "10.9.0.$i/24" dev eth0
  ip -n "host$i" link set dev lo up
  ip -n "host$i" link set dev eth0 up
  echo "10.9.0.$i host$i" >> "$folder/hosts"
done
mount --bind "$folder/hosts" /etc/hosts
