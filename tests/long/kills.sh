#!/bin/bash
# Kills runs at random, resumes them, and expects the weights of a run that nothing happened to.
#
#   tests/long/kills.sh [--seconds=600] [--seed=N]
#
# Each round starts a small run on 2 or 4 ranks, and after a random time sends a random signal to a random one of its processes:
# SIGKILL, SIGTERM, SIGSEGV, SIGSTOP for ever, or SIGSTOP and a second later SIGCONT, to a rank or to mpirun. One round in three does
# so again to the run that resumes. The last run of a round is left alone, and must end with the same bits in every weight and in the
# optimizer's state. After each kill the job must be over within its time limit, and no process, no file in /dev/shm and no folder of
# Open MPI may be left.
#
# Needs root: it runs in a PID namespace with a /dev/shm of its own, so that other programs do not matter. FINETUNE, PREPARE_DATASET
# and DUMP_CHECKPOINTS name the programs; by default those of bazel-bin.
set -euo pipefail

fail() {
  echo "kills.sh: $*" >&2
  exit 1
}

root=$(cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../.." && pwd)
export FINETUNE=${FINETUNE:-$root/bazel-bin/src/main/finetune}
export PREPARE_DATASET=${PREPARE_DATASET:-$root/bazel-bin/data_tools/prepare_dataset}
export DUMP_CHECKPOINTS=${DUMP_CHECKPOINTS:-$root/bazel-bin/tests/dump_checkpoints}
for program in "$FINETUNE" "$PREPARE_DATASET" "$DUMP_CHECKPOINTS"; do
  [[ -x $program ]] || fail "$program is not there: bazel build //src/main:finetune //data_tools:prepare_dataset //tests:dump_checkpoints"
done
seconds=600 seed=$((RANDOM * 32768 + RANDOM))
for argument in "$@"; do
  case $argument in
    --seconds=*) seconds=${argument#*=} ;;
    --seed=*) seed=${argument#*=} ;;
    -h | --help)
      sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'
      exit 0
      ;;
    *) fail "unknown argument $argument; see --help" ;;
  esac
done
if [[ ${IN_NAMESPACE:-} != yes ]]; then
  exec env IN_NAMESPACE=yes unshare --mount --pid --fork --kill-child --mount-proc "$0" --seconds="$seconds" --seed="$seed"
fi
mount -t tmpfs tmpfs /dev/shm

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir "$work/tmp"
export TMPDIR=$work/tmp OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 OMPI_MCA_mpi_yield_when_idle=1
"$PREPARE_DATASET" synthetic --classes=4 --train=72 --test=24 --shards=3 --output="$work/data" >/dev/null
cat >"$work/small.pbtxt" <<EOF
model { backbone { resnet { depth: 18 stem: CIFAR base_channels: 4 } } head { num_classes: 4 } }
data {
  train { path: "$work/data" split: "train" total_batch_size: 16
          pipeline { random_crop { size: 32 padding: 4 } } pipeline { random_flip {} } pipeline { normalize {} } }
  val { path: "$work/data" split: "test" total_batch_size: 16 pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.02 momentum: 0.9 } }
schedule { max_epochs: 5 multi_step { milestones: 3 } }
runtime { log_interval: 1 threads: 1 checkpoint { keep_last: 2 } }
comm { stall_warning_seconds: 5 timeout_seconds: 20 }
EOF
# A job that is told to end, or whose rank is gone, ends within this time; one whose rank stands still also waits for
# comm.timeout_seconds.
limit=60

train() { # RANKS WORK_DIR FLAGS
  local ranks=$1 folder=$2
  shift 2
  exec mpirun -np "$ranks" --oversubscribe --bind-to none "$FINETUNE" --config="$work/small.pbtxt" --work_dir="$work/$folder" "$@"
}
digest() {
  echo "$work/$1/latest.pth" | "$DUMP_CHECKPOINTS" | python3 -c 'import hashlib, json, sys
values = json.loads(sys.stdin.readline())["values"]
kept = [one for one in values if one[0].split("/")[1:2] and bytes.fromhex(json.loads(one[0].split("/")[1])[4:]) in (b"state_dict", b"optimizer")]
assert len(kept) > 100
print(hashlib.sha256(json.dumps(kept).encode()).hexdigest())'
}
# Processes of this namespace other than this script and those that look.
left() { ps -eo pid=,comm=,stat= | awk '$2 ~ /^(finetune|mpirun|orted)$/ && $3 !~ /^Z/ { print $1, $2 }'; }
check_nothing_left() {
  for ((i = 0; i < limit * 10; ++i)); do
    [[ -n $(left) ]] || break
    sleep 0.1
  done
  [[ -z $(left) ]] || fail "round $round, $event: still there after $limit s: $(left); the log is in $log: $(tail -n 20 "$log")"
  local files
  files=$(find /dev/shm -mindepth 1; find "$work/tmp" -mindepth 1)
  # mpirun and its ranks delete their files; those of a job whose every process was killed stay until the next job.
  if [[ -n $files ]]; then
    leftovers=$((leftovers + 1))
    echo "round $round, $event left: $(tr '\n' ' ' <<<"$files")"
    find /dev/shm "$work/tmp" -mindepth 1 -delete
  fi
}

RANDOM=$((seed % 32768))
round=0 event=none leftovers=0 kills=0 finished_first=0
declare -A reference took count
log=$work/log
for ranks in 2 4; do
  begin=$(date +%s%N)
  (train "$ranks" "whole$ranks" --quiet) >"$log" 2>&1 || fail "the run on $ranks ranks fails without a kill: $(cat "$log")"
  took[$ranks]=$((($(date +%s%N) - begin) / 1000000))
  reference[$ranks]=$(digest "whole$ranks")
done
echo "seed $seed; an untouched run takes ${took[2]} ms on 2 ranks and ${took[4]} ms on 4"

# Starts a run, sends it a signal, and waits until it is over.
killed_run() {
  local ranks=$1 folder=$2 flags=$3
  # shellcheck disable=SC2086
  (train "$ranks" "$folder" $flags) >"$log" 2>&1 &
  local job=$!
  local delay=$((RANDOM * ${took[$ranks]} / 32768))
  sleep "$((delay / 1000)).$(printf %03d $((delay % 1000)))"
  local victims
  mapfile -t victims < <(pgrep -x finetune || true)
  victims+=("$job")
  local victim=${victims[RANDOM % ${#victims[@]}]}
  local kinds=(KILL KILL TERM SEGV STOP PAUSE) kind
  kind=${kinds[RANDOM % ${#kinds[@]}]}
  event="$kind to $([[ $victim == "$job" ]] && echo mpirun || echo 'a rank') of $ranks after $delay ms"
  # mpirun hides a stopped launcher from its ranks: it is stopped only for a while.
  [[ $victim != "$job" || $kind != STOP ]] || kind=PAUSE
  case $kind in
    PAUSE)
      kill -STOP "$victim" 2>/dev/null || true
      sleep 1
      kill -CONT "$victim" 2>/dev/null || true
      ;;
    *) kill -"$kind" "$victim" 2>/dev/null || true ;;
  esac
  local status=0
  for ((i = 0; i < limit * 10; ++i)); do
    kill -0 "$job" 2>/dev/null || break
    sleep 0.1
  done
  ! kill -0 "$job" 2>/dev/null || fail "round $round, $event: mpirun still there after $limit s: $(tail -n 20 "$log")"
  wait "$job" || status=$?
  kills=$((kills + 1))
  count[$kind]=$((${count[$kind]:-0} + 1))
  ((status != 0)) || finished_first=$((finished_first + 1))
  check_nothing_left
}

end=$((SECONDS + seconds))
while ((SECONDS < end)); do
  round=$((round + 1))
  ranks=$((RANDOM % 2 * 2 + 2))
  rm -rf "$work/run"
  killed_run "$ranks" run "--quiet"
  ((RANDOM % 3 != 0)) || killed_run "$ranks" run "--quiet --resume=auto"
  event="resume after $event"
  (train "$ranks" run --quiet --resume=auto) >"$log" 2>&1 || fail "round $round, $event fails: $(cat "$log")"
  check_nothing_left
  [[ $(digest run) == "${reference[$ranks]}" ]] || fail "round $round, $event: other weights than the untouched run"
done
echo "$round rounds, $kills signals (${count[KILL]:-0} SIGKILL, ${count[TERM]:-0} SIGTERM, ${count[SEGV]:-0} SIGSEGV, \
${count[STOP]:-0} SIGSTOP, ${count[PAUSE]:-0} SIGSTOP and SIGCONT); $finished_first runs ended well all the same; every run was resumed \
to the bits of the untouched one; $leftovers times files were left"
