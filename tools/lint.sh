#!/usr/bin/env bash
# Checks formatting (clang-format) and, for the files given, code (clang-tidy). Fails on the first kind of complaint.
#
# Usage: tools/lint.sh [FILE.cc ...]
set -euo pipefail
cd "$(dirname "$0")/.."
git ls-files '*.h' '*.cc' | xargs clang-format --dry-run -Werror
[ $# -gt 0 ] || exit 0
libtorch="${FINETUNE_LIBTORCH:-$HOME/.cache/finetune/libtorch-2.15.0/torch}"
bazel build //src/config:experiment_proto //src/data:dataset_proto > /dev/null 2>&1
clang-tidy --quiet "$@" -- -std=c++20 -I. -Ibazel-bin -isystem /usr/include/hdf5/serial \
  -isystem /usr/lib/x86_64-linux-gnu/openmpi/include -DOMPI_SKIP_MPICXX \
  -isystem "$libtorch/include" -isystem "$libtorch/include/torch/csrc/api/include"
