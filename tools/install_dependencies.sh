#!/usr/bin/env bash
# Installs what building and testing finetune needs and this machine lacks: Debian's packages, and LibTorch from its PyPI
# wheel into a cache outside the checkout. Says nothing when there is nothing to do.
#
# Usage: tools/install_dependencies.sh
# FINETUNE_LIBTORCH: a LibTorch of your own (the folder with include/ and lib/); none is downloaded then.
set -euo pipefail
cd "$(dirname "$0")"

die() { echo "install_dependencies: $*" >&2; exit 1; }

packages=(
  bazel-bootstrap bazel-platforms bazel-skylib bazel-rules-java bazel-rules-proto
  g++ python3 python3-pip unzip patchelf ca-certificates
  libopenmpi-dev openmpi-bin libhdf5-dev libabsl-dev libprotobuf-dev protobuf-compiler libgtest-dev libgmock-dev
  libspdlog-dev nlohmann-json3-dev libcurl4-openssl-dev libssl-dev libturbojpeg0-dev libpng-dev zlib1g-dev
  libarchive-dev libzip-dev libcli11-dev libstb-dev
)

command -v dpkg-query > /dev/null || die "this is no Debian; install by hand: ${packages[*]}"
missing=()
for package in "${packages[@]}"; do
  [ "$(dpkg-query -W -f='${db:Status-Status}' "$package" 2> /dev/null)" = installed ] || missing+=("$package")
done
if [ ${#missing[@]} -gt 0 ]; then
  as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo > /dev/null || die "not root and no sudo; as root: apt-get install ${missing[*]}"
    as_root=(sudo)
  fi
  echo "installing Debian's ${missing[*]}"
  "${as_root[@]}" apt-get update -qq
  "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi

[ -n "${FINETUNE_LIBTORCH:-}" ] && exit 0
target="$HOME/.cache/finetune/libtorch-2.15.0"
[ -e "$target/torch/lib/libcudart.so.13" ] && [ -e "$target/torch/lib/libtorch_cpu.so" ] && exit 0
[ "$(uname -m)" = x86_64 ] ||
  die "the pinned LibTorch is for x86-64; on $(uname -m) set FINETUNE_LIBTORCH to one of your own"
echo "downloading LibTorch 2.15.0 from PyPI (540 MB) to $target"
mkdir -p "$(dirname "$target")"
staging=$(mktemp -d "$target.partial-XXXXXX")
trap 'rm -rf "$staging"' EXIT
python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
  --python-version 3.11 --implementation cp --abi cp311 --abi none \
  --platform manylinux_2_28_x86_64 --platform manylinux_2_25_x86_64 --platform manylinux2014_x86_64 \
  --dest "$staging/wheels" --requirement libtorch-requirements.txt
unzip -q "$staging"/wheels/torch-*.whl 'torch/include/*' 'torch/lib/*' -d "$staging/tree"
# libtorch_cpu.so itself needs these two, also where there is no GPU.
unzip -q -j "$staging"/wheels/nvidia_cuda_runtime-*.whl '*/libcudart.so.13' -d "$staging/tree/torch/lib"
unzip -q -j "$staging"/wheels/nvidia_cuda_cupti-*.whl '*/libcupti.so.13' -d "$staging/tree/torch/lib"
rm -f "$staging/tree/torch/lib/libtorch_python.so"
rm -rf "$target"
mv "$staging/tree" "$target"
