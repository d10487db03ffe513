#!/usr/bin/env bash
# Makes a relocatable tar of finetune: programs, the libraries that they need, configs, manual pages, completions, the Slurm
# script, a module file, an Apptainer definition, the licences of all parts, and an SBOM (SPDX 2.3). It can be unpacked in any
# folder, and runs with the machine's own Open MPI. docs/running.md lists the systems.
#
#   tools/package.sh FOLDER [--config=cuda] [Bazel's other flags]     writes FOLDER/finetune-VERSION-linux-x86_64.tar.gz
#
# LibTorch's CUDA parts are only in the package of --config=cuda, whose name ends in -cuda.
#
#   FINETUNE_BIN        a folder with the layout of bazel-bin, whose programs are packed instead of being built
#   SOURCE_DATE_EPOCH   the time of the files in the tar, in seconds; by default that of the last commit
set -euo pipefail

fail() {
  echo "package.sh: $*" >&2
  exit 1
}

[[ $# -ge 1 && $1 != -* ]] || { sed -n '6s/^#   /usage: /p' "$0" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2> /dev/null || echo 0)}
kind=
[[ " $* " != *" --config=cuda "* ]] || kind=-cuda
work=$(mktemp -d "$folder/.packing.XXXXXX")
trap 'rm -rf "$work"' EXIT

tools/install.sh "$work/tree" "$@" > /dev/null
built=${FINETUNE_BIN:-bazel-bin}
version=$("$work/tree/bin/finetune" --version | sed -n 's/^finetune \([^,]*\),.*/\1/p')
[[ -n $version ]] || fail "finetune --version names no version"
name=finetune-$version-linux-$(uname -m)$kind
tree=$work/$name
mv "$work/tree" "$tree"
strip "$tree"/bin/*

doc=$tree/share/doc/finetune
mkdir -p "$doc" "$tree/share/modulefiles/finetune"
install -m 644 README.md CHANGELOG.md LICENSE "$doc"
cp -r docs "$doc/docs"
install -m 644 tools/package/modulefile "$tree/share/modulefiles/finetune/$version"
sed "s/@NAME@/$name/g" tools/package/finetune.def > "$tree/share/finetune/finetune.def"

for program in src/main/finetune data_tools/prepare_dataset; do tools/package/libraries.sh "$built/$program"; done |
  sort -u > "$work/libraries"
python3 tools/package/parts.py --version="$version" --epoch="$epoch" --libraries="$work/libraries" --tree="$tree" ||
  fail "the licences or the SBOM could not be written"

# The newest glibc version that a program or library of the package needs.
glibc=$(find "$tree/bin" "$tree/lib" -type f -exec objdump -T {} + 2> /dev/null | grep -oE 'GLIBC_[0-9]+(\.[0-9]+)+' |
  sort -uV | tail -n 1 | sed 's/GLIBC_//')
printf '%s\n' "$name" "needs: x86-64, glibc $glibc or newer, and an Open MPI 4 or 5 (libmpi.so.40)" \
  "start: PATH=\$PWD/bin:\$PATH; finetune --help; the pages are in share/doc/finetune" > "$tree/README"

tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner --mtime="@$epoch" -cf - "$name" | gzip -n > "$work/tar.gz"
mv "$work/tar.gz" "$folder/$name.tar.gz"
unpacked=$(du -sb --apparent-size "$tree" | cut -f 1)
echo "$folder/$name.tar.gz: $(($(stat -c %s "$folder/$name.tar.gz") / 1048576)) MiB, unpacked $((unpacked / 1048576)) MiB;" \
  "needs glibc $glibc"
