#!/usr/bin/env bash
# Translates the configs that mmpretrain 1.2.0 ships (ResNet and its variants, RegNet, VGG, EfficientNet, MobileNet,
# ConvNeXt and its V2, ViT, DeiT, Swin, LeNet) and its tutorial's, counts the complete translations and the missing features,
# and lets finetune check every result. It prints the tables of docs/migrating.md.
#
#   tests/peers/mmpretrain_configs.sh [--mmengine]
#
# Needs bazel-bin/src/main/finetune. Fetches mmpretrain's wheel from PyPI once, and runs nothing in it. --mmengine: also
# reads every config of the wheel with mmengine 0.10.7, which does run them, and compares the results; this needs
# bench/setup_peer.sh's PyTorch (2 GB).
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case ${1:-} in
  "" | --mmengine) ;;
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  *)
    echo "mmpretrain_configs.sh: unknown argument $1; usage: tests/peers/mmpretrain_configs.sh [--mmengine]" >&2
    exit 2
    ;;
esac
[[ -x bazel-bin/src/main/finetune ]] || {
  echo "mmpretrain_configs.sh: there is no bazel-bin/src/main/finetune; run bazel build //src/main:finetune" >&2
  exit 2
}
cache=${HOME:?}/.cache/finetune/mmpretrain-1.2.0
if [[ ! -d $cache/configs ]]; then
  work=$(mktemp -d)
  trap 'rm -rf "$work"' EXIT
  python3 -m pip download -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes -d "$work" \
    -r tests/peers/mmpretrain-requirements.txt
  python3 -m zipfile -e "$work"/mmpretrain-1.2.0-*.whl "$work/wheel"
  mkdir -p "$cache"
  mv "$work/wheel/mmpretrain/.mim/configs" "$cache/configs"
fi
python3 tests/peers/mmpretrain_configs.py "$cache/configs" bazel-bin/src/main/finetune

if [[ ${1:-} == --mmengine ]]; then
  python=$(bench/setup_peer.sh)
  if [[ ! -e $cache/mmengine/.done ]]; then
    "$python" -m pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --target "$cache/mmengine" \
      -r tests/peers/mmengine-requirements.txt
    touch "$cache/mmengine/.done"
  fi
  PYTHONPATH=$cache/mmengine "$python" tests/peers/mmengine_reads_the_same.py "$cache/configs"
fi
