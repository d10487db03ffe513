#!/usr/bin/env bash
# Holds what finetune writes for other programs against those programs, with pinned versions of them.
#
#   tests/peers/tools.sh [--all] [CHECK...]      by default the first five
#
#   tensorboard   the events of resumed and repeated runs, read by TensorBoard and its data server
#   metrics       metrics.prom, read by both parsers of prometheus_client, against status.json and the records
#   man           the manual pages, by man and by mandoc
#   features      the features of finetune predict, read by h5py
#   sbom          the package's SBOM, by the validator of spdx-tools; FINETUNE_PACKAGE: a tar of tools/package.sh, else it makes one
#   checkpoints, backbones, efficientnet_lite, mmpretrain_configs
#                 checkpoints, networks and configs of other packages (GBs from PyPI): the scripts of these names beside this one
#
# Wants bazel build //src/main:finetune //data_tools:prepare_dataset, and for the networks //tests:logits; FINETUNE_BIN names another
# folder than bazel-bin for the first five. Environments stay in ~/.cache/finetune/peers.
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/../.."
fail() {
  echo "tools.sh: $*" >&2
  exit 1
}
small=(tensorboard metrics man features sbom)
large=(checkpoints backbones efficientnet_lite mmpretrain_configs)
checks=()
for argument; do
  case $argument in
    -h | --help)
      sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
      exit 0
      ;;
    --all) checks+=("${small[@]}" "${large[@]}") ;;
    *)
      [[ " ${small[*]} ${large[*]} " == *" $argument "* ]] || { echo "tools.sh: $argument: expected one of ${small[*]} ${large[*]}" >&2; exit 2; }
      checks+=("$argument")
      ;;
  esac
done
((${#checks[@]})) || checks=("${small[@]}")
bin=${FINETUNE_BIN:-bazel-bin}
[[ -x $bin/src/main/finetune && -x $bin/data_tools/prepare_dataset ]] ||
  fail "$bin has no src/main/finetune or data_tools/prepare_dataset; run bazel build //src/main:finetune //data_tools:prepare_dataset"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints the Python with the pinned packages.
python() {
  local folder=${FINETUNE_CACHE:-$HOME/.cache/finetune}/peers/tools requirements=tests/peers/tools-requirements.txt
  if ! cmp -s "$requirements" "$folder/.done"; then
    rm -rf "$folder"
    python3 -m venv "$folder"
    "$folder/bin/pip" install --quiet --disable-pip-version-check -r "$requirements" >&2
    cp "$requirements" "$folder/.done"
  fi
  echo "$folder/bin/python"
}

metrics() {
  local python
  python=$(python)
  mkdir "$work/metrics"
  "$python" tests/peers/check_metrics.py "$work/metrics" "$bin"
}

features() {
  local python
  python=$(python)
  mkdir "$work/features"
  "$python" tests/peers/check_features.py "$work/features" "$bin"
}

man() {
  local page warnings
  tools/install_dependencies.sh man-db groff-base mandoc
  "$bin/src/main/finetune" help --man="$work/man" > /dev/null
  "$bin/data_tools/prepare_dataset" --man="$work/man" > /dev/null
  for page in "$work"/man/*.1; do
    warnings=$(command man --warnings -l "$page" 2>&1 > /dev/null)
    # The pages have no date: the same program makes the same pages on any day.
    warnings+=$(mandoc -T lint -W warning "$page" | grep -v 'missing date' || true)
    [[ -z $warnings ]] || fail "$(basename "$page"): $warnings"
  done
  echo "man and mandoc render all $(ls "$work/man" | wc -l) pages without a warning"
}

sbom() {
  local package=${FINETUNE_PACKAGE:-} python
  python=$(python)
  if [[ -z $package ]]; then
    tools/package.sh "$work"
    package=$(echo "$work"/finetune-*.tar.gz)
  fi
  tar -C "$work" -xzf "$package" --wildcards '*/share/doc/finetune/sbom.spdx.json' --strip-components=4
  "$(dirname "$python")/pyspdxtools" -i "$work/sbom.spdx.json"
  echo "spdx-tools finds $(basename "$package")'s SBOM valid"
}

for check in "${checks[@]}"; do
  echo "== $check"
  case $check in
    metrics | man | features | sbom) $check ;;
    *) "tests/peers/$check.sh" ;;
  esac
done
