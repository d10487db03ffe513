#!/usr/bin/env bash
# Compares finetune's reader of checkpoints with PyTorch's and that of the package safetensors, on thousands of generated files.
#
#   tests/peers/differential.sh [FOLDER] [--files=N] [--seed=N]       default: a temporary folder, deleted at the end; 10000 files
#
# Fetches the wheels of bench/peer-requirements.txt and safetensors from PyPI into a virtual environment in the folder; with a
# FOLDER given, once. Needs `bazel build //tests:dump_checkpoints`, or the program that DUMP_CHECKPOINTS names. Prints the numbers,
# and what only one of both reads; docs/reliability.md has the last ones.
set -euo pipefail

fail() {
  echo "differential.sh: $*" >&2
  exit 1
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
dump=${DUMP_CHECKPOINTS:-$root/bazel-bin/tests/dump_checkpoints}
[[ -x $dump ]] || fail "$dump is not there: bazel build //tests:dump_checkpoints"
folder='' flags=()
for argument in "$@"; do
  case $argument in
    -h | --help)
      sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'
      exit 0
      ;;
    --files=* | --seed=*) flags+=("$argument") ;;
    -*) fail "unknown flag $argument; see --help" ;;
    *) folder=$argument ;;
  esac
done
if [[ -n $folder ]]; then
  mkdir -p "$folder"
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
folder=$(cd "$folder" && pwd)
python=$("$root/bench/setup_peer.sh" "$folder/python")
"$python" -m pip --disable-pip-version-check install -q --no-deps --only-binary=:all: \
  "$(grep '^safetensors==' "$root/tests/peers/checkpoints-requirements.txt")" || fail "pip could not install safetensors from PyPI"
"$python" "$root/tests/peers/differential.py" "$dump" "${flags[@]}"
