#!/bin/bash
# Rehearses tools/gpu/check.sh without a GPU. Packs the folder and runs it in a root file system of its own, without a
# network, that has a minimal Debian, a Python 3.12 and the wheels of PyTorch 2.11, torchvision and numpy. First it runs
# all stages on the CPU with small networks, then it runs them as on a GPU, up to the point where a device is needed.
#
#   bazel test --test_output=streamed //tests/long:gpu_kit_test         or     tests/long/gpu_kit_test.sh
#
# Needs root, a network for Debian and PyPI the first time (3 GB, kept in ~/.cache/finetune/gpu_rehearsal) and 15 GiB of
# disk. FINETUNE_KIT: a folder that pack.sh has made, which is used instead of packing. FINETUNE_PYTHON: a Python 3.12
# that can be copied (its sys.base_prefix); by default python3.12, or the newest of pyenv's. Without one it uses
# Debian's own Python and says so.
set -euo pipefail

fail() {
  echo "gpu_kit_test.sh: $*" >&2
  exit 1
}

source=$(cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../.." && pwd)
[[ $(id -u) = 0 ]] || fail "making a root of its own needs root"
export HOME=${HOME:-$(getent passwd 0 | cut -d: -f6)}
cache=$HOME/.cache/finetune/gpu_rehearsal
mkdir -p "$cache"
work=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$source/tools/install_dependencies.sh" debootstrap

kit=${FINETUNE_KIT:-}
if [[ -z $kit ]]; then
  kit=$work/kit
  # The data are a few images in ten classes.
  class=0
  for picture in "$source"/tests/fixtures/pictures/orientation_{1,2,3,4,5}.jpg "$source"/tests/fixtures/pictures/{plain,progressive,subsampled,grey,bytes_after_end}.jpg; do
    for split in train test; do
      mkdir -p "$work/images/$split/$class"
      for ((i = 0; i < 16; ++i)); do cp "$picture" "$work/images/$split/$class/$i.jpg"; done
    done
    class=$((class + 1))
  done
  tar -C "$work/images" -cJf "$work/images.tar.xz" train test
  "$source/tools/gpu/pack.sh" "$kit" --images="$work/images.tar.xz"
fi
[[ -f $kit/kit.json ]] || fail "FINETUNE_KIT=$kit was not made by tools/gpu/pack.sh"

# Makes the root file system once, whole or not at all.
root=$cache/root
[[ -d $root/opt/pytorch/torchvision ]] || rm -rf "$root"  # the root of an earlier version of this script
if [[ ! -d $cache/debian ]]; then
  mirror=$(grep -hoE 'https?://[^ ]+' /etc/apt/sources.list /etc/apt/sources.list.d/* 2>/dev/null | grep -v security | grep -v snapshot | head -n 1 || true)
  debootstrap --variant=minbase bookworm "$work/debian" "${mirror:-http://deb.debian.org/debian}" >"$work/debootstrap.log" 2>&1 ||
    fail "debootstrap failed: $(tail -n 3 "$work/debootstrap.log")"
  mv "$work/debian" "$cache/debian"
fi
if [[ ! -d $root ]]; then
  new=$work/root
  cp -a "$cache/debian" "$new"
  prefix=
  for python in ${FINETUNE_PYTHON:+"$FINETUNE_PYTHON"} python3.12 "$HOME"/.pyenv/versions/3.12*/bin/python3.12; do
    prefix=$("$python" -c 'import sys; assert sys.version_info[:2] == (3, 12); print(sys.base_prefix)' 2>/dev/null) && break
    prefix=
  done
  # The system's own Python is spread over many folders and cannot be copied.
  if [[ -n $prefix && $prefix != /usr ]]; then
    mkdir -p "$new$prefix"
    cp -a "$prefix/." "$new$prefix"
    rm -rf "$new$prefix"/lib/python3.12/{test,site-packages}
    # Copies the libraries of this system that Python's modules are linked to and that a minimal system lacks.
    find "$prefix/lib" -name '*.so*' -exec ldd {} + 2>/dev/null | awk '$3 ~ /^\/(usr\/)?lib/ {print $3}' | sort -u |
      while read -r library; do [[ -e $new$library ]] || cp -L --parents "$library" "$new"; done
    installed=$prefix/bin/python3.12
  else
    python=python3
    echo "no Python 3.12 was found: Debian's own is used"
    chroot "$new" sh -c 'apt-get -q -y install --no-install-recommends python3' >"$work/apt.log" 2>&1 ||
      fail "apt-get could not install python3: $(tail -n 3 "$work/apt.log")"
    installed=/usr/bin/python3
  fi

  version=$(chroot "$new" "$installed" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  [[ $version = $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') ]] ||
    fail "the root has Python $version and pip is another's: name a Python 3.12 in FINETUNE_PYTHON"
  wheels=$cache/wheels-$version
  mkdir -p "$wheels"
  echo "fetching PyTorch 2.11.0 for Python $version"
  pip=("$python" -m pip --disable-pip-version-check)
  "${pip[@]}" download -q --no-cache-dir --only-binary=:all: --find-links "$wheels" -d "$wheels" torch==2.11.0 torchvision==0.26.0 numpy ||
    fail "pip could not fetch torch 2.11.0, torchvision 0.26.0 and numpy from PyPI"
  "${pip[@]}" install -q --no-index --no-deps --no-compile --target "$new/opt/pytorch" "$wheels"/*.whl ||
    fail "pip could not install the wheels"
  echo "$installed" >"$new/python"
  mv "$new" "$root"
fi
python=$(cat "$root/python")
echo "Python: $(chroot "$root" "$python" --version), PyTorch: $(grep ^__version__ "$root/opt/pytorch/torch/version.py")"

# Runs a command in the root file system, with the packed folder read-only at /kit, the results at /results, a loopback
# network device and no other devices.
mkdir -p "$work"/results/{cpu,gpu}
bare() {
  unshare --mount --net --pid --fork --kill-child bash -euc '
    root=$1 kit=$2 results=$3
    shift 3
    ip link set lo up
    mount --make-rprivate /
    mkdir -p "$root"/{kit,results}
    mount --bind "$kit" "$root/kit"
    mount -o remount,bind,ro "$root/kit"
    mount --bind "$results" "$root/results"
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs tmpfs "$root/dev"
    mkdir "$root/dev/shm"
    for node in null zero urandom random; do touch "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; done
    exec chroot "$root" env -i PATH=/usr/bin:/bin HOME=/tmp PYTHONPATH=/opt/pytorch PYTHON="$(cat "$root/python")" "$@"
  ' bare "$root" "$kit" "$work/results" "$@"
}

status=0
expect() {
  if eval "$2"; then echo "ok      $1"; else
    echo "FAILED  $1"
    status=1
  fi
}
# Prints the value of a Python expression. In it `results` is results.json and `stages` maps a stage's name to its
# entry.
value() {
  python3 -c 'import json, sys
results = json.load(open(sys.argv[1]))
stages = {stage["name"]: stage for stage in results["stages"]}
try:
    print(eval(sys.argv[2]))
except KeyError as error:
    print("nothing is named", error)' "$work/results/$1/results.json" "$2"
}
state() { value "$1" "stages.get('$2', {}).get('state')"; }

bare /kit/check.sh /results/cpu --rehearse --jobs=2:4 || true
for stage in machine first_step tests speed pipeline training; do
  expect "on the CPU: $stage passes" "[[ \$(state cpu $stage) = passed ]]"
done
for stage in trace sanitizer; do
  expect "on the CPU: $stage is skipped" "[[ \$(state cpu $stage) = skipped ]]"
done
expect "on the CPU: finetune's rates are there, for training and evaluation" \
  "[[ \$(value cpu \"all(stages['speed']['figures']['images_per_s']['frozen_stages 2, batch 4']['finetune'][what]['median'] > 0 \
for what in ('train', 'eval'))\") = True ]]"

expect "on the CPU: PyTorch's rates are there" \
  "[[ \$(value cpu \"stages['speed']['figures']['ratios']['frozen_stages 2, batch 4']['train']['pytorch']\") = 'PyTorch fp32_cl' ]]"

bare /kit/check.sh /results/gpu --jobs=2:32 >"$work/gpu.txt" 2>&1 || true
cat "$work/gpu.txt"
expect "as on a GPU: the machine is found fit" "[[ \$(state gpu machine) = passed ]]"
expect "as on a GPU: finetune says that it asked for a device and found no driver" \
  "[[ \$(value gpu \"stages['first_step']['line']\") == *'runtime.device: is CUDA, but there is no NVIDIA driver'* ]]"
expect "as on a GPU: no test passes on the CPU instead" \
  "[[ \$(value gpu \"sum(program['passed'] for name, program in stages['tests']['figures']['programs'].items() \
if 'create_communicator' not in name)\") = 0 ]]"
expect "as on a GPU: tests say what they need" "grep -q 'this test needs a GPU: there is no NVIDIA driver' '$work/results/gpu/check.log'"
expect "results are three files at most" "(( \$(ls -A '$work/results/gpu' | wc -l) <= 3 ))"
((status == 0)) || {
  cp -r "$work/results" "$cache/failed"
  echo "the results are in $cache/failed"
}
exit $status
