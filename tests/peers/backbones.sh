#!/usr/bin/env bash
# Holds each network against the packages that have it: torchvision, timm, mmpretrain and efficientnet_pytorch make the network at full
# size with random weights, save them under their own names, and finetune must give the same logits for them.
#
#   tests/peers/backbones.sh [LOGITS [BACKBONE ...]]
#
# LOGITS: the program tests/logits.cc; default: bazel-bin/tests/logits. BACKBONE: the beginning of backbones to compare, as in the
# config (efficientnet, "mobilenet_v3 { variant: SMALL"); default: all.
#
# Needs bazel build //tests:logits. Fetches PyTorch (2 GB, shared with bench/) and the packages (100 MB) from PyPI once.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case ${1:-} in
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*)
    echo "backbones.sh: unknown flag $1; usage: tests/peers/backbones.sh [LOGITS [BACKBONE ...]]" >&2
    exit 2
    ;;
esac
logits=${1:-bazel-bin/tests/logits}
[[ -x $logits ]] || {
  echo "backbones.sh: there is no $logits; run bazel build //tests:logits" >&2
  exit 2
}
python=$(bench/setup_peer.sh)
packages=${HOME:?}/.cache/finetune/backbones
requirements=tests/peers/backbones-requirements.txt
if ! cmp -s "$requirements" "$packages/.done"; then
  rm -rf "$packages"
  "$python" -m pip install -q --disable-pip-version-check --no-deps --no-compile --only-binary=:all: --target "$packages" \
    -r "$requirements"
  cp "$requirements" "$packages/.done"
fi
# Folders in PYTHONPATH come before an environment's own packages. So where PyTorch's environment has one of these
# packages too, the version in $packages is used.
PYTHONPATH=$packages "$python" -W ignore tests/peers/backbones.py "$logits" "${@:2}"
