#!/bin/bash
# Packs all files that tools/gpu/check.sh needs into one folder, which can be copied to a machine that has a GPU and
# Python with PyTorch 2.11. That machine needs no Open MPI, HDF5, Abseil or Protobuf, and no network. docs/gpu.md says
# more.
#
#   tools/gpu/pack.sh FOLDER [--images=FILE]
#
# FOLDER must not exist, unless pack.sh made it; then it is replaced. --images: a .tar.xz of JPEG files in
# train/CLASS/*.jpg and test/CLASS/*.jpg, such as CIFAR-10, for the stage that trains on real images.
#
# Builds with --config=cuda against the LibTorch in PyTorch's own wheel, which it fetches once from PyPI (530 MB). The
# build is kept apart from other builds, in ~/.cache/finetune/gpu_build.
set -euo pipefail

fail() {
  echo "pack.sh: $*" >&2
  exit 1
}

# The programs in the folder: the Bazel target and the path in the folder.
programs=(
  "//src/main:finetune bin/finetune"
  "//data_tools:prepare_dataset bin/prepare_dataset"
  "//bench:device_pipeline_alone bin/device_pipeline_alone"
  "//bench:profile_gpu bin/profile_gpu"
  "//src/comm:create_communicator_test_ranks bin/create_communicator_test"
  "//src/data:device_pipeline_test bin/device_pipeline_test"
  "//src/data/batch_transforms:mixup_test bin/mixup_test"
  "//src/data/transforms:random_grayscale_test bin/random_grayscale_test"
  "//src/model:agreement_test bin/agreement_test"
  "//src/model:loss_test bin/loss_test"
  "//src/optim:adamw_test bin/adamw_test"
  "//src/optim:gradient_norm_test bin/gradient_norm_test"
  "//src/optim:sgd_test bin/sgd_test"
  "//tests:recorded_steps_test_ranks bin/recorded_steps_test"
  "//tests/gpu:nccl_test bin/nccl_test"
)
# Files of the repository that get the same path in the folder.
files=(
  bench/pytorch_peer.py
  bench/resnet50_speed.pbtxt
  configs/resnet18_cifar10_scratch.pbtxt
  configs/_base_
  tests/fixtures/data
  tests/fixtures/model
  tests/fixtures/optim
)
# Files of tools/gpu that get the top level of the folder.
scripts=(check.sh check.py results.py)
# Libraries that are never packed: glibc, LibTorch, CUDA.
system='^(ld-linux-x86-64|libc|libm|libmvec|libdl|librt|libpthread|libresolv|libutil|libanl|libnsl|libnss_[a-z]*)\.so'
pytorch='^(libtorch|libc10|libcaffe2|libshm|libgomp|libgfortran|libcu(blas|da|dnn|fft|file|pti|rand|solver|sparse)|libnv|libnccl|libcudnn)'
# Libraries that are packed, and used only where the machine's own are older.
compiler='^(libstdc\+\+|libgcc_s)\.so'
# Plugins of Open MPI that are not packed: ranks on one host do not need these networks, schedulers and APIs.
no_plugin='ofi|openib|ucx|psm|flux|slurm|jsm|gridengine|simulator|monitoring|scoll|spml|sshmem|memheap|atomic|romio|dbg'
limit_mib=60

(($# >= 1)) && [[ $1 != -* ]] || fail "usage: tools/gpu/pack.sh FOLDER [--images=FILE]"
target=$1
images=
shift
for flag in "$@"; do
  case $flag in
    --images=*) images=${flag#*=} ;;
    *) fail "unknown flag $flag; usage: tools/gpu/pack.sh FOLDER [--images=FILE]" ;;
  esac
done
[[ -z $images || -f $images ]] || fail "--images=$images: there is no such file"
[[ ! -e $target || -f $target/kit.json ]] || fail "$target is there and was not made by pack.sh; name another folder"
target=$(realpath -m "$target")
[[ -z $images ]] || images=$(realpath "$images")

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
export HOME=${HOME:-$(getent passwd "$(id -u)" | cut -d: -f6)}
tools/install_dependencies.sh patchelf unzip
cache=$HOME/.cache/finetune
mkdir -p "$cache"
work=$(mktemp -d "$cache/.packing.XXXXXX")
trap 'rm -rf "$work"' EXIT

export FINETUNE_LIBTORCH=$cache/libtorch-2.11.0/torch
if [[ ! -f $FINETUNE_LIBTORCH/lib/libtorch_cuda.so ]]; then
  echo "Fetching PyTorch 2.11's wheel (530 MB) for its LibTorch"
  TMPDIR=$work python3 -m pip --disable-pip-version-check download -q --no-cache-dir --no-deps --only-binary=:all: \
    --implementation cp --python-version 3.12 --abi cp312 --platform manylinux_2_28_x86_64 \
    --require-hashes -r tools/gpu/libtorch-requirements.txt -d "$work" ||
    fail "pip could not fetch the wheel of tools/gpu/libtorch-requirements.txt from PyPI"
  unzip -q "$work"/torch-*.whl 'torch/include/*' 'torch/lib/*' -x 'torch/lib/libtorch_python.so' -d "$work"
  mkdir -p "$cache/libtorch-2.11.0"
  rm -rf "$FINETUNE_LIBTORCH"
  mv "$work/torch" "$FINETUNE_LIBTORCH"
fi

targets=()
for program in "${programs[@]}"; do targets+=("${program% *}"); done
bazel=(bazel "--output_base=$cache/gpu_build")
"${bazel[@]}" build -c opt --config=cuda --symlink_prefix=/ "${targets[@]}"
built=$("${bazel[@]}" info -c opt --config=cuda bazel-bin)
"${bazel[@]}" shutdown

kit=$work/kit
mkdir -p "$kit"/{bin,lib/compiler,mpi/{bin,lib,plugins,share}}

# Copies the libraries that a program or library is linked to and the machine may lack, and strips them.
carry() {
  local name path
  while read -r name path; do
    [[ ! $name =~ $system && ! $name =~ $pytorch ]] || continue
    [[ -n $path ]] || fail "$1 is linked to $name, which is not on this machine"
    if [[ $name =~ $compiler ]]; then
      cp -L "$path" "$kit/lib/compiler/$name"
    elif [[ ! -e $kit/lib/$name ]]; then
      cp -L "$path" "$kit/lib/$name"
      chmod 755 "$kit/lib/$name"
      strip --strip-unneeded "$kit/lib/$name"
      patchelf --set-rpath "\$ORIGIN" "$kit/lib/$name"
    fi
  done < <(LD_LIBRARY_PATH=$FINETUNE_LIBTORCH/lib ldd "$1" | awk '$2 == "=>" {print $1, ($3 ~ /^\//) ? $3 : ""}')
}

for program in "${programs[@]}"; do
  read -r label place <<<"$program"
  path=${label#//}
  carry "$built/${path/://}"
  install -m 755 "$built/${path/://}" "$kit/$place"
  strip "$kit/$place"
  patchelf --set-rpath "\$ORIGIN/../lib" "$kit/$place"
done

# Packs Open MPI's launcher, plugins and message texts. check.py tells Open MPI where they are.
pkglibdir=$(ompi_info --path pkglibdir --parsable | sed 's/.*://')
pkgdatadir=$(ompi_info --path pkgdatadir --parsable | sed 's/.*://')
mpirun=$(readlink -f "$(command -v mpirun)")
carry "$mpirun"
install -m 755 "$mpirun" "$kit/mpi/bin/mpirun"
strip "$kit/mpi/bin/mpirun"
patchelf --set-rpath "\$ORIGIN/../../lib" "$kit/mpi/bin/mpirun"
for plugin in "$pkglibdir"/mca_*.so; do
  [[ ! ${plugin##*/} =~ $no_plugin ]] || continue
  carry "$plugin"
  install -m 755 "$plugin" "$kit/mpi/plugins"
done
strip --strip-unneeded "$kit"/mpi/plugins/*.so
for plugin in "$kit"/mpi/plugins/*.so; do patchelf --set-rpath "\$ORIGIN/../../lib" "$plugin"; done
cp -rL "$pkgdatadir" "$kit/mpi/share/openmpi"

for file in "${files[@]}"; do
  mkdir -p "$kit/$(dirname "$file")"
  cp -r "$file" "$kit/$(dirname "$file")"
done
find "$kit" -name BUILD -delete
for script in "${scripts[@]}"; do cp "tools/gpu/$script" "$kit"; done
[[ -z $images ]] || install -D -m 644 "$images" "$kit/data/images.tar.xz"

# Prints the newest version of a symbol set (GLIBC or GLIBCXX) that any packed file needs.
newest() {
  find "$kit/bin" "$kit/lib" "$kit/mpi" -type f \( -perm -u+x -o -name '*.so*' \) -not -path '*/compiler/*' \
    -exec objdump -T {} + 2>/dev/null | grep -oE "$1_[0-9]+(\.[0-9]+)+" | sort -uV | tail -n 1 | sed 's/.*_//'
}
commit=$(git describe --always --dirty 2>/dev/null || echo unknown)
printf '{"commit": "%s", "libtorch": "2.11.0", "glibc": "%s", "glibcxx": "%s", "images": %s}\n' \
  "$commit" "$(newest GLIBC)" "$(newest GLIBCXX)" "$([[ -n $images ]] && echo true || echo false)" >"$kit/kit.json"

# The programs are packed, because they take 100 MiB: one library alone has 30 MiB of tables. check.py unpacks them.
tar -C "$kit" -c bin lib mpi | xz -3 -T0 >"$kit/programs.tar.xz"
rm -r "$kit"/{bin,lib,mpi}

mib=$(($(du -sb --apparent-size "$kit" | cut -f 1) / 1048576 + 1))
((mib <= limit_mib)) || {
  du -ab --apparent-size "$kit" | sort -rn | head -n 20 >&2
  fail "the folder takes $mib MiB; it may take $limit_mib"
}
rm -rf "$target"
mkdir -p "$(dirname "$target")"
mv "$kit" "$target"
echo "packed $mib MiB into $target: copy it whole, and run check.sh RESULTS in it"
