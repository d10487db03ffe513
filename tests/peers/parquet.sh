#!/usr/bin/env bash
# Writes a data set as the Hugging Face Hub stores it, converts it by data_tools/parquet_to_tar.py and prepare_dataset, and compares
# every image's bytes, split and class. Also checks that wrong files are refused.
#
#   tests/peers/parquet.sh [PREPARE_DATASET]      default: bazel-bin/data_tools/prepare_dataset
#
# Fetches pyarrow and h5py (60 MB) from PyPI, once.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
case ${1:-} in
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*)
    echo "parquet.sh: unknown flag $1; usage: tests/peers/parquet.sh [PREPARE_DATASET]" >&2
    exit 2
    ;;
esac
prepare=${1:-bazel-bin/data_tools/prepare_dataset}
[[ -x $prepare ]] || {
  echo "parquet.sh: there is no $prepare; run bazel build //data_tools:prepare_dataset" >&2
  exit 2
}
packages=${HOME:?}/.cache/finetune/parquet
if [[ ! -e $packages/.done ]]; then
  python3 -m venv "$packages"
  "$packages/bin/pip" install -q --disable-pip-version-check --require-hashes -r data_tools/parquet-requirements.txt
  "$packages/bin/pip" install -q --disable-pip-version-check -r tests/peers/parquet-requirements.txt
  touch "$packages/.done"
fi
python=$packages/bin/python
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$python" tests/peers/parquet.py write "$folder"
"$python" tests/peers/parquet.py refuse "$folder" data_tools/parquet_to_tar.py
"$python" data_tools/parquet_to_tar.py --input="$folder/data" --output="$folder/tars"
"$python" data_tools/parquet_to_tar.py --input="$folder/data" --output="$folder/again" >/dev/null
cmp "$folder/tars/train.tar" "$folder/again/train.tar"
"$prepare" image_folder --input="$folder/tars" --output="$folder/shards" --store=encoded
"$python" tests/peers/parquet.py compare "$folder"
