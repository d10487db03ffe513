#!/usr/bin/env bash
# Copies finetune, prepare_dataset, their configs, manual pages and shell completions, and the libraries they need, below PREFIX.
# PREFIX may be copied to any machine of the same kind that has Open MPI.
#
# Usage: tools/install.sh PREFIX [Bazel's flags, such as --config=cuda]
#   FINETUNE_BIN   a folder like bazel-bin, whose programs are taken instead of building them
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: tools/install.sh PREFIX [Bazel's flags]" >&2; exit 2; }
mkdir -p "$1"
prefix=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/.."
cuda=()
[[ " $* " != *" --config=cuda "* ]] || cuda=(--cuda)
tools/install_dependencies.sh "${cuda[@]}" patchelf
built=${FINETUNE_BIN:-bazel-bin}
[[ -n ${FINETUNE_BIN:-} ]] || bazel build -c opt "$@" //src/main:finetune //data_tools:prepare_dataset

share=$prefix/share
mkdir -p "$prefix"/{bin,lib/finetune} "$share"/{finetune,bash-completion/completions,zsh/site-functions}
for program in "$built/src/main/finetune" "$built/data_tools/prepare_dataset"; do
  # A new file replaces the old one, so a running job keeps the file that it has.
  install -m 755 "$program" "$prefix/bin/.new"
  tools/package/libraries.sh "$program" | while read -r name path; do
    install -m 644 "$path" "$prefix/lib/finetune/$name"
  done
  patchelf --set-rpath "\$ORIGIN/../lib/finetune" "$prefix/bin/.new"
  mv "$prefix/bin/.new" "$prefix/bin/$(basename "$program")"
done
for library in "$prefix"/lib/finetune/*.so*; do
  patchelf --set-rpath "\$ORIGIN" "$library" 2> /dev/null || true
done
rm -rf "$share/finetune/configs"
mkdir -p "$share/finetune/configs"
tar -C configs --exclude=BUILD -cf - . | tar -C "$share/finetune/configs" -xf -
# experiment.proto documents every field of a config.
install -m 644 src/config/experiment.proto "$share/finetune/"
install -D -m 755 slurm/finetune.sbatch "$share/finetune/slurm/finetune.sbatch"
# Made by the programs themselves, from their tables of commands and flags.
rm -f "$share"/man/man1/{finetune*,prepare_dataset}.1
"$prefix/bin/finetune" help --man="$share/man/man1" > /dev/null
"$prefix/bin/prepare_dataset" --man="$share/man/man1" > /dev/null
"$prefix/bin/finetune" completion bash > "$share/bash-completion/completions/finetune"
"$prefix/bin/finetune" completion zsh > "$share/zsh/site-functions/_finetune"
echo "installed to $prefix; add $prefix/bin to PATH"
