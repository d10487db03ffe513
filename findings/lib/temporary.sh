# shellcheck shell=bash
# Sourced by every finding. Makes the temporary folder $work, which is removed when the script ends.
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export TMPDIR=$work

# make_venv NAME PACKAGE==VERSION...: makes the virtual environment $work/NAME with these packages from PyPI.
make_venv() {
  local venv=$work/$1
  shift
  python3 -m venv "$venv"
  "$venv/bin/pip" install -q --disable-pip-version-check --no-cache-dir --only-binary=:all: "$@"
}
