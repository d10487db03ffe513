#!/usr/bin/env bash
# Goes from nothing to a trained and evaluated classifier: installs what is missing, builds, makes a small data set,
# trains on two ranks, evaluates on held-out images. It takes minutes on two cores.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/install_dependencies.sh
bazel build -c opt //src/main:finetune //data_tools:prepare_dataset

finetune=bazel-bin/src/main/finetune
work_dir=work_dirs/demo
bazel-bin/data_tools/prepare_dataset synthetic --output=data/demo --force

# mpirun refuses root without these variables.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
mpirun -np 2 --oversubscribe "$finetune" --config=demo.pbtxt --work_dir="$work_dir" --overwrite

echo
echo "On the held-out pictures of data/demo (10 classes, so chance is 10 %):"
mpirun -np 2 --oversubscribe "$finetune" evaluate --config=demo.pbtxt --checkpoint="$work_dir/latest.pth"
echo "log         $(ls -t "$work_dir"/*.log | head -n 1)"
echo "records     $(ls -t "$work_dir"/*.jsonl | head -n 1)"
echo "checkpoint  $work_dir/latest.pth (best: $work_dir/best.pth)"
echo "report      $work_dir/report.html"
