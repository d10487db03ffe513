#!/bin/bash
# Checks the package of tools/package.sh: unpacks it in the root of a bare Debian 12, which has Debian's Open MPI and nothing that
# finetune is built with, and runs there what a user runs, at two places. Other systems: see ROOTS.
#
#   bazel test --test_output=streamed //tests/long:package_test         or     tests/long/package_test.sh
#
# Needs root, a network for Debian the first time (200 MB, kept in ~/.cache/finetune/package_roots) and 5 GiB of disk.
#   FINETUNE_PACKAGE   a tar of tools/package.sh, instead of making one
#   SUITES             the Debian suites whose roots are made, by default bookworm; trixie is the one after it
#   ROOTS              folders with the roots of other systems that have their own Open MPI, such as Ubuntu 24.04; they are copied
set -euo pipefail

fail() {
  echo "package_test.sh: $*" >&2
  exit 1
}

source=$(cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../.." && pwd)
[[ $(id -u) = 0 ]] || fail "making a root of its own needs root"
export HOME=${HOME:-$(getent passwd 0 | cut -d: -f6)}
cache=$HOME/.cache/finetune/package_roots
mkdir -p "$cache"
work=$(mktemp -d "$cache/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
"$source/tools/install_dependencies.sh" debootstrap

package=${FINETUNE_PACKAGE:-}
if [[ -z $package ]]; then
  "$source/tools/package.sh" "$work"
  package=$(echo "$work"/finetune-*.tar.gz)
fi
[[ -f $package ]] || fail "FINETUNE_PACKAGE=$package: found no such file; expected a tar of tools/package.sh"
name=$(basename "$package" .tar.gz)

status=0
expect() {
  if eval "$2"; then echo "ok      $1"; else
    echo "FAILED  $1"
    status=1
  fi
}

# What the tar holds, seen from here.
mkdir "$work/seen"
tar -C "$work/seen" -xzf "$package"
tree=$work/seen/$name
doc=$tree/share/doc/finetune
expect "the tar has one folder, of its own name" "[[ \$(ls '$work/seen') = '$name' ]]"
[[ $name = *-cuda ]] || expect "it has no CUDA part of LibTorch" "! compgen -G '$tree/lib/finetune/libtorch_cuda*' > /dev/null"
expect "it has no MPI of its own" "! compgen -G '$tree/lib/finetune/libmpi*' > /dev/null"
expect "no program or library names a folder of the machine that made it" \
  "! for file in '$tree'/bin/* '$tree'/lib/finetune/*; do patchelf --print-rpath \"\$file\"; done | grep -v '^\\\$ORIGIN' | grep -q ."
expect "each library is a file of the SBOM, and each file of the SBOM is there" "python3 - '$tree' <<'EOF'
import hashlib, json, pathlib, sys
tree = pathlib.Path(sys.argv[1])
sbom = json.load(open(tree / 'share/doc/finetune/sbom.spdx.json'))
named = {file['fileName'][2:]: file['checksums'] for file in sbom['files']}
found = {str(path.relative_to(tree)) for folder in ('bin', 'lib') for path in (tree / folder).rglob('*') if path.is_file()}
assert set(named) == found, set(named) ^ found
for path, checksums in named.items():
    assert hashlib.sha256((tree / path).read_bytes()).hexdigest() in {c['checksumValue'] for c in checksums}, path
for package in sbom['packages'][1:]:
    assert (tree / 'share/doc/finetune/licenses' / (package['name'] + '.txt')).stat().st_size > 100, package['name']
EOF"
expect "it has a manual page for each command" \
  "[[ \$(ls '$tree/share/man/man1' | wc -l) = \$(grep -c '^\.BR finetune.*(1)' '$tree/share/man/man1/finetune.1' | awk '{print \$1 + 2}') ]]"
expect "it has completions, the Slurm script, a module file, an Apptainer definition and the licence" \
  "test -s '$tree/share/bash-completion/completions/finetune' -a -s '$tree/share/zsh/site-functions/_finetune' -a \
-x '$tree/share/finetune/slurm/finetune.sbatch' -a -s '$tree/share/finetune/finetune.def' -a -s '$doc/LICENSE' && \
ls '$tree'/share/modulefiles/finetune/* > /dev/null"
rm -rf "$work/seen"

# The roots, each made once, whole or not at all.
mirror=$(grep -hoE 'https?://[^ ]+' /etc/apt/sources.list /etc/apt/sources.list.d/* 2> /dev/null | grep -v security | grep -v snapshot | head -n 1 || true)
roots=()
for suite in ${SUITES-bookworm}; do
  if [[ ! -d $cache/$suite ]]; then
    echo "making the root of Debian's $suite"
    debootstrap --variant=minbase --include=openmpi-bin "$suite" "$work/$suite" ${mirror:+"$mirror"} > "$work/debootstrap.log" 2>&1 ||
      fail "debootstrap failed: $(tail -n 3 "$work/debootstrap.log")"
    rm -rf "$work/$suite"/var/cache/apt/archives/*.deb
    mv "$work/$suite" "$cache/$suite"
  fi
  roots+=("$cache/$suite")
done
for root in ${ROOTS:-}; do roots+=("$(realpath "$root")"); done

# Runs the script at its standard input in the root, without a network.
inside() {
  unshare --mount --net --pid --fork --kill-child bash -euc '
    root=$1
    ip link set lo up
    mount --make-rprivate /
    mount -t tmpfs tmpfs "$root/tmp"
    mount -t proc proc "$root/proc"
    mount --rbind /sys "$root/sys"
    mount -t tmpfs tmpfs "$root/dev"
    mkdir "$root/dev/shm"
    for node in null zero urandom random; do touch "$root/dev/$node"; mount --bind "/dev/$node" "$root/dev/$node"; done
    exec chroot "$root" env -i PATH=/usr/lib64/openmpi/bin:/usr/bin:/bin HOME=/tmp OMPI_ALLOW_RUN_AS_ROOT=1 \
      OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 sh -eu
  ' inside "$1"
}

for made in "${roots[@]}"; do
  root=$work/root
  cp -a "$made" "$root"
  system=$(. "$root/etc/os-release" && echo "$PRETTY_NAME")
  cp "$package" "$root/opt/"
  echo "in $system:"
  # The first place is that of the Apptainer definition, whose last steps are run here; the second is the tree moved.
  {
    printf 'name=%q\n' "$name"
    sed -n "s/@NAME@/$name/g; /^%post/,/^%/{/^%/d; /apt/d; p}" "$source/tools/package/finetune.def"
    cat << 'EOF'
use() {
  prefix=$1 run=$2
  PATH=$prefix/bin:$PATH
  mkdir -p /tmp/$run
  cd /tmp/$run
  finetune --version
  prepare_dataset synthetic --train=128 --test=32 --output=data/demo > /dev/null
  # mpirun would pass the rest of this script on to rank 0.
  mpirun -np 2 --oversubscribe --bind-to none finetune --config=demo.pbtxt --max_iterations=2 --set=runtime.log_interval=1 \
    --work_dir=run > log.txt 2>&1 < /dev/null || { cat log.txt; exit 1; }
  grep 'validation after epoch 1' log.txt
  finetune watch run --once | head -n 2
  finetune evaluate --checkpoint=run/latest.pth > evaluation.txt
  grep -m 1 accuracy evaluation.txt
  # Every library but those of the system and of MPI comes from the package.
  ldd $prefix/bin/finetune | grep 'not found' && exit 1
  ldd $prefix/bin/finetune | awk '$2 == "=>" && $3 ~ /^\// {print $1}' > /tmp/$run/libraries
  for library in $(ls $prefix/lib/finetune); do
    if grep -qx "$library" libraries && ldd $prefix/bin/finetune | grep "^.$library => " | grep -qv /lib/finetune/; then
      echo "$library is not taken from the package"; exit 1
    fi
  done
}
use /opt/finetune first
mv "/opt/$name" /srv/moved
rm /opt/finetune
use /srv/moved second
EOF
  } > "$work/script"
  if inside "$root" < "$work/script" > "$work/output" 2>&1; then
    sed 's/^/        /' "$work/output"
    echo "ok      $system: it trains on two ranks of the system's Open MPI, evaluates, and does so again elsewhere"
  else
    sed 's/^/        /' "$work/output"
    echo "FAILED  $system: see above"
    status=1
  fi
  rm -rf "$root"
done
exit $status
