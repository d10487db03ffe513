#!/bin/bash
# Checks the layout of C++ files (clang-format), and the code of .cc files and of the headers that they include
# (clang-tidy), also of files that need CUDA. Names each file with complaints; if there are any, exits with 1.
#
#   tools/lint.sh [--format] [FILE...]     --format: checks only the layout; FILE: checks these files instead of all that git tracks
#
# A file that passed is checked again only after the file, one of its headers or .clang-tidy has changed. The first
# check of all files takes an hour.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
layout_only=false
if [[ ${1:-} == --format ]]; then
  layout_only=true
  shift
fi
(($#)) || set -- $(git ls-files '*.h' '*.cc')
tools/install_dependencies.sh clang-format-14 clang-tidy-14

status=0
clang-format-14 --dry-run -Werror "$@" || status=1
if $layout_only; then exit $status; fi

# Makes the headers that the build needs: those that Bazel finds on this machine, and those that it generates.
quiet=(--noshow_progress --ui_event_filters=-info)
bazel fetch "${quiet[@]}" @libtorch//... @mpi//... @hdf5//... @cuda//...
bazel build "${quiet[@]}" $(bazel query "${quiet[@]}" 'filter("_proto_generate$", //...)')
external=$(bazel info "${quiet[@]}" output_base)/external
export flags="-std=c++20 -DFINETUNE_CUDA -DOMPI_SKIP_MPICXX -DSPDLOG_COMPILED_LIB -DSPDLOG_FMT_EXTERNAL -I. -isystem bazel-bin"
for folder in libtorch/include libtorch/include/torch/csrc/api/include mpi/include hdf5/include/hdf5/serial cuda/include; do
  flags+=" -isystem $external/$folder"
done

export clean=$HOME/.cache/finetune/lint
mkdir -p "$clean"
check() {
  local stamp output flags=$flags
  # Clang needs this option for vector types, even where they occur only in inlined functions.
  [[ $1 != src/ops/* ]] || flags+=" -march=x86-64-v4"
  stamp=$clean/$({ clang-tidy-14 --version; cat .clang-tidy "$1"; clang++-14 -E -P -C -dD -dI $flags "$1"; } | sha256sum | cut -c 1-64)
  [[ ! -e $stamp ]] || return 0
  if output=$(clang-tidy-14 --quiet "$1" -- $flags 2>&1); then touch "$stamp"; return 0; fi
  printf '%s: clang-tidy complains:\n%s\n' "$1" "$output"
  return 1
}
export -f check
printf '%s\n' "$@" | { grep '\.cc$' || true; } | xargs -r -P 2 -I {} bash -c 'check {}' || status=1
exit $status
