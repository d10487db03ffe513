#!/bin/bash
# Fuzzes what reads files of others: builds the targets of tests/fuzz with clang, libFuzzer and the sanitizers for addresses and
# undefined behaviour, and runs each.
#
#   tests/long/fuzz.sh [--seconds=600] [--folder=~/.cache/finetune/fuzz] [TARGET ...]        default: all targets
#
# Needs clang 14 or newer (apt-get install clang) beside what the build needs. LibTorch is that of FINETUNE_LIBTORCH, or of
# ~/.cache/finetune. The folder keeps the programs, and the inputs that reached new code: a later run begins with them. An input
# that breaks a promise is kept there too, as TARGET/crash-*; the run then ends with status 1.
set -euo pipefail

fail() {
  echo "fuzz.sh: $*" >&2
  exit 1
}

root=$(cd "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/../.." && pwd)
cd "$root"
all=(pickle torch_zip torch_legacy safetensors config manifest image archive list idx cifar records events)
seconds=600 folder=$HOME/.cache/finetune/fuzz targets=()
for argument in "$@"; do
  case $argument in
    --seconds=*) seconds=${argument#*=} ;;
    --folder=*) folder=${argument#*=} ;;
    -h | --help)
      sed -n '2,/^set/s/^# \{0,1\}//p' "$0" | sed '$d'
      exit 0
      ;;
    -*) fail "unknown flag $argument; see --help" ;;
    *)
      [[ " ${all[*]} " == *" $argument "* ]] || fail "no target $argument; the targets are ${all[*]}"
      targets+=("$argument")
      ;;
  esac
done
((${#targets[@]})) || targets=("${all[@]}")
clang=$(command -v clang++ || command -v clang++-14) || fail "no clang++: apt-get install clang"
torch=${FINETUNE_LIBTORCH:-$HOME/.cache/finetune/libtorch-2.15.0/torch}
[[ -f $torch/lib/libtorch_cpu.so ]] || fail "no LibTorch in $torch: tools/install_dependencies.sh"

build=$folder/build
mkdir -p "$build/generated"
for proto in src/config/experiment src/data/dataset src/observe/event; do
  [[ $build/generated/$proto.pb.h -nt $proto.proto ]] || protoc --cpp_out="$build/generated" -I. "$proto.proto"
done

sanitize=-fsanitize=address,undefined
flags=(-std=c++20 -O1 -gline-tables-only -fno-omit-frame-pointer -fsanitize=fuzzer-no-link "$sanitize" -fno-sanitize=vptr
  -fno-sanitize-recover=undefined -iquote "$build/generated" -iquote . -isystem /usr/include/hdf5/serial
  # After the system's folders: LibTorch has headers of Protobuf and fmt of its own.
  -idirafter "$torch/include" -idirafter "$torch/include/torch/csrc/api/include")
libraries=("-Wl,--start-group" /usr/lib/*/libabsl_*.a "-Wl,--end-group" "-L$torch/lib" "-Wl,-rpath,$torch/lib" -ltorch_cpu -lc10
  -l:libgomp.so.1 -lprotobuf -lhdf5_serial -ljpeg -lturbojpeg -lpng -lwebp -lgif -ltiff -llept -larchive -lzip -lz -lcrypto
  -lpthread -ldl)

# Compiles a source if it, or any header, is newer than its object.
compile() {
  local source=$1 object=$build/${1//\//_}.o
  if [[ ! -e $object || -n $(find "$source" src data_tools tests/fuzz "$build/generated" \( -name '*.h' -o -path "$source" \) \
    -newer "$object" -print -quit) ]]; then
    "$clang" "${flags[@]}" -c "$source" -o "$object"
  fi
}
# Prints the sources that a target needs besides its own and those of src/base below.
sources_of() {
  local images=(src/data/decode/{bitmap,decode,exif,gif,jpeg,png,tiff,webp}.cc)
  case $1 in
    pickle) echo src/checkpoint/pickle.cc ;;
    torch_* | safetensors)
      echo tests/fuzz/checkpoint_input.cc \
        src/checkpoint/{find_state_dict,input_file,materialize,own_checkpoint,own_metadata,pickle,reader,safetensors,torch_file,value}.cc \
        src/checkpoint/zip_archive.cc
      ;;
    config) find src/config -name '*.cc' ! -name '*_test.cc'; echo "$build/generated/src/config/experiment.pb.cc" ;;
    manifest) echo src/data/manifest.cc "$build/generated/src/data/dataset.pb.cc" ;;
    image) echo "${images[@]}" ;;
    archive) echo data_tools/archive.cc ;;
    list | idx | cifar)
      echo "${images[@]}" src/data/decode/image_ending.cc src/checkpoint/pickle.cc "$build/generated/src/data/dataset.pb.cc" \
        src/data/{builder,manifest,hdf5_handle,encoded_shard_writer,shard_file,shard_hdf5,shard_writer}.cc
      find data_tools -name '*.cc' ! -name '*_test.cc' ! -name prepare_dataset.cc ! -name inspect.cc
      ;;
    records) echo src/observe/record.cc ;;
    events) echo src/observe/{append_file,event_file}.cc "$build/generated/src/observe/event.pb.cc" ;;
  esac
}
mapfile -t sources < <(
  {
    printf '%s\n' tests/fuzz/input.cc src/base/{archive_reader,atomic_file,gzip_stream,list_folder,nearest_name,sha256,system_error,utf8,version}.cc
    for target in "${targets[@]}"; do
      echo "tests/fuzz/$target.cc"
      sources_of "$target" | tr ' ' '\n'
    done
  } | awk '!seen[$0]++'
)
running=0
for source in "${sources[@]}"; do
  if ((running >= $(nproc))); then
    wait -n || fail "a source does not compile"
    running=$((running - 1))
  fi
  compile "$source" &
  running=$((running + 1))
done
while ((running > 0)); do
  wait -n || fail "a source does not compile"
  running=$((running - 1))
done

objects=()
for source in "${sources[@]}"; do
  [[ $source == tests/fuzz/* && $source != *input.cc ]] || objects+=("$build/${source//\//_}.o")
done
rm -f "$build/finetune.a"
ar rcs "$build/finetune.a" "${objects[@]}"
for target in "${targets[@]}"; do
  "$clang" -fsanitize=fuzzer "$sanitize" -fno-sanitize=vptr "$build/tests_fuzz_$target.cc.o" "$build/finetune.a" "${libraries[@]}" \
    -o "$build/$target" || fail "$target does not link"
done

memory=$(mktemp -d /dev/shm/finetune_fuzz.XXXXXX)
trap 'rm -rf "$memory"' EXIT
status=0
echo "target executions a_second coverage inputs result"
for target in "${targets[@]}"; do
  mkdir -p "$folder/$target"
  seeds=()
  case $target in
    torch_* | safetensors) seeds=(tests/fuzz/seeds/checkpoint tests/fixtures/checkpoint) ;;
    image) seeds=(tests/fixtures/pictures) ;;
    *) seeds=("tests/fuzz/seeds/$target") ;;
  esac
  options=()
  case $target in pickle | torch_* | cifar) options=(-dict=tests/fuzz/pickle.dict) ;; esac
  result=ok
  # LibTorch's own threads would only cost time.
  OMP_NUM_THREADS=1 TEST_TMPDIR=$memory "$build/$target" -max_total_time="$seconds" -timeout=20 -rss_limit_mb=4096 \
    -malloc_limit_mb=1024 -print_final_stats=1 -verbosity=1 -artifact_prefix="$folder/$target/" "${options[@]}" "$folder/$target" "${seeds[@]}" \
    >"$folder/$target.log" 2>&1 || { result=FAILED; status=1; }
  awk -v target="$target" -v result="$result" '
    /stat::number_of_executed_units/ { executions = $2 }
    /stat::average_exec_per_sec/ { rate = $2 }
    match($0, /cov: [0-9]+/) { coverage = substr($0, RSTART + 5, RLENGTH - 5) }
    match($0, /corp: [0-9]+/) { inputs = substr($0, RSTART + 6, RLENGTH - 6) }
    END { print target, executions, rate, coverage, inputs, result }' "$folder/$target.log"
  [[ $result == ok ]] || { grep -m 3 -E 'ERROR|runtime error|promise|SUMMARY' "$folder/$target.log" || tail -n 5 "$folder/$target.log"; }
  rm -rf "${memory:?}"/*
done
exit $status
