#!/usr/bin/env bash
# Copies finetune, prepare_dataset, their configs and the libraries that they need to the folder PREFIX. PREFIX may then
# be copied to any machine of the same kind that has Open MPI.
#
# Usage: tools/install.sh PREFIX [Bazel's flags, such as --config=cuda]
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: tools/install.sh PREFIX [Bazel's flags]" >&2; exit 2; }
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
cuda=()
[[ " $* " != *" --config=cuda "* ]] || cuda=(--cuda)
tools/install_dependencies.sh "${cuda[@]}" patchelf
bazel build -c opt "$@" //src/main:finetune //data_tools:prepare_dataset

mkdir -p "$prefix"/{bin,lib/finetune,share/finetune}
for program in bazel-bin/src/main/finetune bazel-bin/data_tools/prepare_dataset; do
  # A new file replaces the old one, so a running job keeps the file that it has.
  install -m 755 "$program" "$prefix/bin/.new"
  # The system's libraries (libc and related ones) and the cluster's MPI are not copied.
  ldd "$program" | awk '$2 == "=>" && $3 ~ /^\// {print $3}' |
    grep -vE '/(libc|libm|libdl|librt|libpthread|ld-linux[^/]*|libmpi|libopen-rte|libopen-pal)\.so' |
    xargs -r install -m 644 -t "$prefix/lib/finetune"
  patchelf --set-rpath "\$ORIGIN/../lib/finetune" "$prefix/bin/.new"
  mv "$prefix/bin/.new" "$prefix/bin/$(basename "$program")"
done
for library in "$prefix"/lib/finetune/*.so*; do
  patchelf --set-rpath "\$ORIGIN" "$library" 2> /dev/null || true
done
rm -rf "$prefix/share/finetune/configs"
mkdir -p "$prefix/share/finetune/configs"
tar -C configs --exclude=BUILD -cf - . | tar -C "$prefix/share/finetune/configs" -xf -
# experiment.proto documents every field of a config.
install -m 644 src/config/experiment.proto "$prefix/share/finetune/"
echo "installed to $prefix; add $prefix/bin to PATH"
