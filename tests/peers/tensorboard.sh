#!/bin/bash
# Checks the TensorBoard events of resumed and repeated runs with the real TensorBoard. Installs TensorBoard (once, into
# the cache), and check_tensorboard.py reads small runs through it. Run it from the repository's root, after `bazel
# build //src/main:finetune //data_tools:prepare_dataset`.
set -euo pipefail

HERE=$(dirname "$0")
VENV="${FINETUNE_CACHE:-$HOME/.cache/finetune}/peers/tensorboard"
python3 -m venv "$VENV"
"$VENV/bin/pip" install --quiet --disable-pip-version-check -r "$HERE/tensorboard-requirements.txt"
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT
"$VENV/bin/python" "$HERE/check_tensorboard.py" "$WORK" "${FINETUNE_BIN:-bazel-bin}"
