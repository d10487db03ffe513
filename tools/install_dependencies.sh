#!/bin/bash
# Installs the packages that are needed to build finetune on Debian 12: Debian's packages, and LibTorch from its PyPI
# wheel (540 MB, pinned by version and hash) into ~/.cache/finetune. Packages that are already installed are not
# changed. If nothing is missing it prints nothing.
#
#   tools/install_dependencies.sh [--cuda] [PACKAGE...]
#
# --cuda: also installs, next to LibTorch, the libraries that a program built with --config=cuda loads and that the CUDA
# toolkit lacks (300 MB from PyPI). PACKAGE: further Debian packages to install.
#
# FINETUNE_LIBTORCH: the folder of a LibTorch (with include/ and lib/) to use instead, or into which LibTorch is
# installed if it has none.
set -euo pipefail

fail() {
  echo "install_dependencies.sh: $*" >&2
  exit 1
}

cuda=false
if [[ ${1:-} == --cuda ]]; then
  cuda=true
  shift
fi
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}

packages=(
  g++ libopenmpi-dev openmpi-bin libhdf5-dev libabsl-dev libprotobuf-dev protobuf-compiler libgtest-dev libgmock-dev
  libspdlog-dev nlohmann-json3-dev libcli11-dev libcurl4-openssl-dev libssl-dev libarchive-dev libzip-dev zlib1g-dev
  libre2-dev libpng-dev libjpeg62-turbo-dev libturbojpeg0-dev libwebp-dev libgif-dev libtiff-dev libleptonica-dev libstb-dev
  python3 ca-certificates iproute2 procps
  munge slurm-client slurmctld slurmd "$@"  # tests/slurm_test starts a cluster
)
# A Bazel that the user installed contains its rules. Debian's Bazel needs them as packages.
if ! command -v bazel >/dev/null || dpkg-query -W bazel-bootstrap >/dev/null 2>&1; then
  packages+=(bazel-bootstrap bazel-platforms bazel-skylib bazel-rules-java bazel-rules-proto)
fi

libtorch=${FINETUNE_LIBTORCH:-$HOME/.cache/finetune/libtorch-2.15.0/torch}
need_libtorch=true
if [[ -f $libtorch/include/ATen/ATen.h && -f $libtorch/lib/libtorch_cpu.so ]]; then
  # A LibTorch of the user's may be built without the CUDA runtime, so only the default one is checked for it.
  if [[ -n ${FINETUNE_LIBTORCH:-} || (-f $libtorch/lib/libcudart.so.13 && -f $libtorch/lib/libcupti.so.13) ]]; then
    need_libtorch=false
  fi
elif [[ -n ${FINETUNE_LIBTORCH:-} && -e $libtorch ]]; then
  fail "FINETUNE_LIBTORCH=$libtorch is no LibTorch: it has no include/ATen/ATen.h or no lib/libtorch_cpu.so"
fi
need_cuda=false
if $cuda && [[ ! -f $libtorch/lib/libnvshmem_host.so.3 ]]; then need_cuda=true; fi
if $need_libtorch || $need_cuda; then
  packages+=(unzip)
  python3 -m pip --version >/dev/null 2>&1 || packages+=(python3-pip)
fi

command -v dpkg-query >/dev/null ||
  fail "this is not Debian; install by hand the equivalents of: ${packages[*]} - and LibTorch 2.15.0, with" \
    "FINETUNE_LIBTORCH pointing at it"

missing=()
for package in "${packages[@]}"; do
  # dpkg lists some packages (multi-arch ones such as libpng-dev) with their architecture and some without.
  [[ $(dpkg-query -W -f='${db:Status-Status} ' "$package" 2>/dev/null) == *"installed "* ]] || missing+=("$package")
done
if ((${#missing[@]})); then
  sudo=()
  if ((EUID != 0)); then
    command -v sudo >/dev/null ||
      fail "run as root, or have root run: apt-get install --no-install-recommends ${missing[*]}"
    sudo=(sudo)
  fi
  echo "Installing ${#missing[@]} Debian packages: ${missing[*]}"
  apt=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=300)
  log=$(mktemp)
  { "${apt[@]}" update && "${apt[@]}" install --no-install-recommends "${missing[@]}"; } >"$log" 2>&1 </dev/null || {
    tail -n 15 "$log" >&2
    fail "apt-get could not install ${missing[*]}; all of its output is in $log"
  }
  rm -f "$log"
fi

$need_libtorch || $need_cuda || exit 0

[[ $(uname -m) == x86_64 ]] ||
  fail "LibTorch is pinned for x86_64; this is $(uname -m). Unpack torch 2.15.0's wheel for it (pip download --no-deps" \
    "torch==2.15.0; unzip) and set FINETUNE_LIBTORCH to its folder torch/"

parent=$(dirname "$libtorch")
mkdir -p "$parent"
# If two calls run at the same time, the second one waits and then finds LibTorch installed.
exec 9>"$parent/.lock"
flock 9
free_mib=$(df --output=avail -m "$parent" | tail -n 1)
((free_mib > 3072)) || fail "unpacking LibTorch needs 3 GiB in $parent; $free_mib MiB are free"
work=$(mktemp -d "$parent/.unpacking.XXXXXX")
trap 'rm -rf "$work"' EXIT

# Downloads the wheels of a requirements file in tools/ to $work/wheels.
fetch() {
  # pip writes its downloads to TMPDIR, because /tmp may be too small.
  TMPDIR=$work python3 -m pip --disable-pip-version-check download -q --no-cache-dir --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.11 --abi cp311 --abi none \
    --platform manylinux_2_28_x86_64 --platform manylinux_2_27_x86_64 --platform manylinux_2_25_x86_64 \
    --platform manylinux_2_17_x86_64 --platform manylinux2014_x86_64 \
    --require-hashes -r "$here/$1" -d "$work/wheels" ||
    fail "pip could not fetch the wheels of tools/$1 from PyPI"
}

if $need_libtorch && [[ ! -f $libtorch/lib/libcupti.so.13 ]]; then
  echo "Fetching LibTorch 2.15.0 (540 MB) into $libtorch"
  fetch libtorch-requirements.txt
  unzip -q "$work"/wheels/torch-*.whl 'torch/include/*' 'torch/lib/*' -x 'torch/lib/libtorch_python.so' -d "$work"
  unzip -q -j "$work"/wheels/nvidia_cuda_runtime-*.whl '*/libcudart.so.13' -d "$work/torch/lib"
  unzip -q -j "$work"/wheels/nvidia_cuda_cupti-*.whl '*/libcupti.so.13' -d "$work/torch/lib"
  rm -rf "$libtorch"
  mv "$work/torch" "$libtorch"
fi
if $need_cuda && [[ ! -f $libtorch/lib/libnvshmem_host.so.3 ]]; then
  echo "Fetching what LibTorch wants for CUDA (300 MB) into $libtorch/lib"
  fetch cuda-requirements.txt
  for wheel in cufile cusparselt_cu13 nvshmem_cu13; do
    unzip -q -j "$work"/wheels/nvidia_"$wheel"-*.whl '*.so.*' -d "$work/cuda"
  done
  # need_cuda above looks only for this library, so it is moved last: then all libraries are there.
  mv "$work"/cuda/nvshmem_* "$work"/cuda/libcu* "$libtorch/lib"
  mv "$work"/cuda/libnvshmem_host.so.3 "$libtorch/lib"
fi
