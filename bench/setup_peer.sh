#!/usr/bin/env bash
# Makes a Python environment with PyTorch 2.15 for the CPU, for the benchmarks that compare finetune with it.
#
#   bench/setup_peer.sh [FOLDER]      default: ~/.cache/finetune/peer; prints the path of its python
#
# Fetches only the wheels of bench/peer-requirements.txt from PyPI. A package that is already installed and can be
# imported is kept.
set -euo pipefail

fail() {
  echo "setup_peer.sh: $*" >&2
  exit 1
}

case ${1:-} in
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*) fail "unknown flag $1; usage: bench/setup_peer.sh [FOLDER]" ;;
esac
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=${1:-${HOME:?}/.cache/finetune/peer}
check='import torch, torchvision, torch.distributed; assert torch.__version__.startswith("2.15.0"); torch.ones(2).sum().item()'
works() { "$folder/bin/python" -c "$check" >/dev/null 2>&1; }

if ! { [[ -x $folder/bin/python ]] && works; }; then
  command -v python3 >/dev/null || fail "there is no python3: apt-get install python3 python3-venv"
  parent=$(dirname "$folder")
  mkdir -p "$parent"
  # If two calls run at the same time, the second one waits and then finds the environment complete.
  exec 9>"$parent/.peer.lock"
  flock 9
  if ! { [[ -x $folder/bin/python ]] && works; }; then
    free_mib=$(df --output=avail -m "$parent" | tail -n 1)
    ((free_mib > 8192)) || fail "PyTorch and its libraries need 8 GiB in $parent; $free_mib MiB are free"
    [[ ! -e $folder || -f $folder/pyvenv.cfg ]] || fail "$folder is there and is no Python environment; name another"
    trap '[[ -f $folder/.done ]] || rm -rf "$folder"' EXIT
    python3 -m venv --clear "$folder" || fail "python3 -m venv failed: apt-get install python3-venv"
    echo "Fetching PyTorch 2.15.0 (about 2 GB) into $folder" >&2
    # pip writes its downloads to TMPDIR, because /tmp may be too small.
    TMPDIR=$folder "$folder/bin/python" -m pip --disable-pip-version-check install -q --no-cache-dir --no-deps --no-compile \
      --only-binary=:all: -r "$here/peer-requirements.txt" >&2 ||
      fail "pip could not install bench/peer-requirements.txt from PyPI"
    works || {
      "$folder/bin/python" -c "$check" || true
      fail "PyTorch does not import; see above"
    }
    touch "$folder/.done"
  fi
fi
echo "$folder/bin/python"
