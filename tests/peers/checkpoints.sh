#!/usr/bin/env bash
# Installs the packages whose checkpoints finetune reads, lets each of them write some checkpoints, and reads these with
# finetune.
#
#   tests/peers/checkpoints.sh [FOLDER]      default: a temporary folder, deleted at the end
#
# Fetches 1.5 GB from PyPI (the wheels of bench/peer-requirements.txt and tests/peers/checkpoints-requirements.txt) into
# a virtual environment in the folder. In a given FOLDER they stay for later calls. Needs 10 GB there, and a built
# finetune: in bazel-bin, or the programs that FINETUNE and PREPARE_DATASET name. docs/compatibility.md lists the cases.
set -euo pipefail

fail() {
  echo "checkpoints.sh: $*" >&2
  exit 1
}

case ${1:-} in
  -h | --help)
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
    exit 0
    ;;
  -*) fail "unknown flag $1; usage: tests/peers/checkpoints.sh [FOLDER]" ;;
esac
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
finetune=${FINETUNE:-$root/bazel-bin/src/main/finetune}
prepare_dataset=${PREPARE_DATASET:-$root/bazel-bin/data_tools/prepare_dataset}
for program in "$finetune" "$prepare_dataset"; do
  [[ -x $program ]] || fail "$program is not there: bazel build //src/main:finetune //data_tools:prepare_dataset"
done

if (($# > 0)); then
  folder=$1
  mkdir -p "$folder"
else
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' EXIT
fi
folder=$(cd "$folder" && pwd)
python=$("$root/bench/setup_peer.sh" "$folder/python")
requirements=$root/tests/peers/checkpoints-requirements.txt
if ! cmp -s "$requirements" "$folder/python/.checkpoints"; then
  TMPDIR=$folder "$python" -m pip --disable-pip-version-check install -q --no-cache-dir --no-deps --no-compile \
    --only-binary=:all: -r "$requirements" || fail "pip could not install $requirements from PyPI"
  cp "$requirements" "$folder/python/.checkpoints"
fi

files=$folder/files
rm -rf "$files"
mkdir "$files"
"$python" "$root/tests/peers/write_checkpoints.py" "$files" >"$folder/write.log" 2>&1 || {
  tail -n 20 "$folder/write.log" >&2
  fail "a package could not write its checkpoints; all it said is in $folder/write.log"
}
"$prepare_dataset" synthetic --classes=10 --train=16 --test=64 --output="$files/data" >>"$folder/write.log" 2>&1
cat >"$files/resnet18.pbtxt" <<EOF
model { backbone { resnet { depth: 18 } } head { num_classes: 10 } }
data {
  train { path: "$files/data" split: "train" batch_size: 16 pipeline { normalize {} } }
  val { path: "$files/data" split: "test" batch_size: 32 pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.001 } }
schedule { cosine { min_lr: 0 } max_epochs: 1 }
runtime { device: CPU tensorboard: false }
EOF

# Prints the result of `finetune evaluate` for a checkpoint, without its speed.
evaluate() {
  local file=$1
  shift
  "$finetune" evaluate --config="$files/resnet18.pbtxt" --checkpoint="$files/$file" "$@" 2>&1 |
    sed 's/ ([0-9.]* pictures\/s)//; /^info /d; /^warning /d'
}
# Prints the same for a checkpoint of a run that starts from the given checkpoint's weights.
train() {
  local file=$1
  shift
  "$finetune" --config="$files/resnet18.pbtxt" --work_dir="$files/run" --overwrite --max_iterations=1 \
    --set=model.backbone.pretrained.checkpoint="$files/$file" "$@" 2>&1
}

wrong=0 all=0
while IFS=$'\t' read -r file flags kind expected; do
  [[ $flags == - ]] && flags=
  read -ra flags <<<"$flags"
  if [[ ${flags[0]:-} == pretrained ]]; then
    got=$(train "$file" "${flags[@]:1}") && kind=ran || kind=failed
    expected="tensors matched"
  else
    got=$(evaluate "$file" "${flags[@]}" || true)
    [[ $kind == refused ]] || expected=$(evaluate "$expected")
  fi
  all=$((all + 1))
  case $kind in
    same) [[ $got == "$expected" && $got == *loss* ]] && verdict=ok || verdict=WRONG ;;
    refused | ran) [[ $got == *"$expected"* ]] && verdict=ok || verdict=WRONG ;;
    *) verdict=WRONG ;;
  esac
  printf '%-5s %s %s\n' "$verdict" "$file" "${flags[*]}"
  [[ $verdict == ok ]] || {
    wrong=$((wrong + 1))
    printf '  got:      %s\n  expected: %s\n' "$got" "$expected"
  }
done <"$files/cases.tsv"
((wrong == 0)) || fail "$wrong of $all checkpoints were not read as they must be"
echo "all $all checkpoints were read, or refused, as they must be"
