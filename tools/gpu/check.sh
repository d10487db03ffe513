#!/bin/bash
# Tests the CUDA code on a machine with a GPU. Runs in the folder that tools/gpu/pack.sh made. docs/gpu.md describes the
# stages.
#
#   check.sh RESULTS [--stages=NAME,...] [--jobs=FROZEN:BATCH,...] [--rehearse]
#
# Writes RESULTS/results.json (again after each stage), RESULTS/check.log and RESULTS/step_trace.json.gz. Takes at most
# ten minutes. Needs Python 3.10 or later with PyTorch 2.11. The environment variable PYTHON names a Python other than
# python3.
set -u
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
for python in ${PYTHON:+"$PYTHON"} python3 python3.12 python; do
  command -v "$python" >/dev/null || continue
  if "$python" -c 'import sys, importlib.util as i; sys.exit(sys.version_info < (3, 10) or i.find_spec("torch") is None)' \
    2>/dev/null; then
    exec "$python" -B "$here/check.py" "$@"
  fi
  echo "check.sh: $python is $("$python" --version 2>&1), without PyTorch or older than 3.10; passed over" >&2
done
echo "check.sh: found no Python 3.10 or later that has PyTorch; expected python3 to be the one that has PyTorch 2.11," \
  "name another in PYTHON" >&2
exit 1
