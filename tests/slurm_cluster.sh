#!/bin/bash
# Runs a Slurm cluster of two nodes on this machine, for tests. `slurm_cluster.sh FOLDER` starts munged, slurmctld and
# two slurmds on free ports. Their configuration, sockets, spool folders and logs are in FOLDER, which it makes. It
# prints "ready" when jobs can run (with SLURM_CONF=FOLDER/slurm.conf). When its standard input is closed it ends
# everything, jobs included, and removes FOLDER, so the cluster never outlives the test. Where a cluster is not possible
# it prints the reason and exits with an error.
set -u

fail() {
  echo "slurm_cluster.sh: $*" >&2
  exit 1
}

[ $# = 1 ] || fail "usage: slurm_cluster.sh FOLDER"
PATH=$PATH:/usr/sbin:/sbin
for program in munged slurmctld slurmd sbatch; do
  command -v "$program" > /dev/null ||
    fail "no $program here; tools/install_dependencies.sh installs Debian's munge, slurmctld, slurmd and slurm-client"
done
[ "$(id -u)" = 0 ] || fail "slurmd starts jobs as their users and so must run as root; this is $(id -un)"
mkdir -m 755 "$1" || fail "can not make $1"
folder=$(cd "$1" && pwd)
conf=$folder/slurm.conf
host=$(hostname -s)
nodes=("$host" "$host-b")

# Lists the processes that were started with this cluster's configuration, jobs included. Their environment has its
# path.
ours() {
  local process
  for process in /proc/[0-9]*; do
    if [ "${process#/proc/}" != $$ ] && tr '\0' '\n' 2> /dev/null < "$process/environ" | grep -qx "SLURM_CONF=$conf"; then
      echo "${process#/proc/}"
    fi
  done
}

# shellcheck disable=SC2317,SC2046 # called by trap; a list of process ids
stop() {
  trap '' INT TERM
  # Kills twice, because a daemon may have started another process while it was killed.
  for _ in 1 2; do
    kill -KILL $(ours) 2> /dev/null
  done
  wait
  rm -rf "$folder"
}
trap stop EXIT
trap 'exit 1' INT TERM

explain() {
  tail -n 20 "$folder"/*.log >&2
  fail "$*; above is what the daemons say"
}

read -r control_port port0 port1 < <(python3 -c '
import random, socket
sockets = []
while len(sockets) < 3:
  s = socket.socket()
  try:
    s.bind(("", random.randrange(20000, 30000)))
    sockets.append(s)
  except OSError:
    pass
print(*(s.getsockname()[1] for s in sockets))')
mkdir "$folder/state" "$folder"/{spool,tmp}-{"${nodes[0]}","${nodes[1]}"}
cat > "$conf" << END
ClusterName=finetune-test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$control_port
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
# A job that is queued again can start only when its old credential has expired.
AuthInfo=socket=$folder/munge.socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
TmpFS=$folder/tmp-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
SwitchType=switch/none
MpiDefault=none
MailProg=/bin/true
# Accept the machine's real hardware.
SlurmdParameters=config_overrides
GresTypes=gpu
NodeName=${nodes[0]} NodeHostname=$host NodeAddr=127.0.0.1 Port=$port0 CPUs=2 Gres=gpu:2
NodeName=${nodes[1]} NodeHostname=$host NodeAddr=127.0.0.1 Port=$port1 CPUs=2 Gres=gpu:2
PartitionName=test Nodes=ALL Default=YES
END

# For Slurm a GPU is just a device file, so any device file will do.
for i in 0 1; do
  mknod "$folder/gpu$i" c 1 3 || fail "can not make a device file in $folder"
done
echo "NodeName=${nodes[0]},${nodes[1]} Name=gpu File=$folder/gpu[0-1]" > "$folder/gres.conf"

(umask 077 && head -c 1024 /dev/urandom > "$folder/munge.key")
export SLURM_CONF=$conf
munged --foreground --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --seed-file="$folder/munge.seed" \
  --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" > "$folder/munged.out.log" 2>&1 < /dev/null &
munged=$!
# Each step usually takes a second or two, and may take a minute.
SECONDS=0
until munge -S "$folder/munge.socket" -n > /dev/null 2>&1; do
  if ! kill -0 $munged 2> /dev/null || ((SECONDS > 60)); then explain "munged did not start"; fi
  sleep 0.1
done
slurmctld -D > "$folder/slurmctld.out.log" 2>&1 < /dev/null &
daemons=($!)
for node in "${nodes[@]}"; do
  slurmd -D -N "$node" > "$folder/slurmd-$node.out.log" 2>&1 < /dev/null &
  daemons+=($!)
done
until [ "$(sinfo -h -t idle -o %D 2> /dev/null)" = 2 ]; do
  for daemon in "${daemons[@]}"; do
    kill -0 "$daemon" 2> /dev/null || explain "a daemon of Slurm's did not start"
  done
  ((SECONDS < 60)) || explain "the nodes are not idle after a minute: $(sinfo -h -N -o '%N %T %E' 2>&1)"
  sleep 0.1
done
echo ready
cat > /dev/null
