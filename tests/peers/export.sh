#!/usr/bin/env bash
# Holds what finetune export writes against the programs that read it: onnx checks each model, onnxruntime must give finetune's
# logits, and torchvision and timm must load the weights strictly and give them too.
#
#   tests/peers/export.sh [FINETUNE [LOGITS [PREPARE_DATASET]]]      default: those of bazel-bin
#
# Wants bazel build //src/main:finetune //tests:logits //data_tools:prepare_dataset. Fetches PyTorch (2 GB, shared with bench/) once, and 50 MB of packages from
# PyPI into a temporary folder.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case ${1:-} in
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*)
    echo "export.sh: unknown flag $1; usage: tests/peers/export.sh [FINETUNE [LOGITS [PREPARE_DATASET]]]" >&2
    exit 2
    ;;
esac
finetune=${1:-bazel-bin/src/main/finetune}
logits=${2:-bazel-bin/tests/logits}
prepare_dataset=${3:-bazel-bin/data_tools/prepare_dataset}
for program in "$finetune" "$logits" "$prepare_dataset"; do
  [[ -x $program ]] || {
    echo "export.sh: there is no $program; run bazel build //src/main:finetune //tests:logits //data_tools:prepare_dataset" >&2
    exit 2
  }
done
python=$(bench/setup_peer.sh)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" -m pip install -q --disable-pip-version-check --no-deps --no-compile --only-binary=:all: --target "$folder/packages" \
  -r tests/peers/export-requirements.txt
# The packages stand behind PyTorch's environment, which has its own of some.
PYTHONPATH=$folder/packages "$python" -W ignore tests/peers/export.py "$finetune" "$logits" "$prepare_dataset" "$folder"
