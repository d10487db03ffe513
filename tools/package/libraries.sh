#!/usr/bin/env bash
# Prints the shared libraries that must be copied along with a program to another machine: a line "NAME PATH" for each. Leaves out
# the libraries that the other machine has: those of the system (libc and its parts), those of the cluster (MPI, and libraries that
# only MPI needs) and those of the GPU's driver.
#
#   tools/package/libraries.sh PROGRAM
set -euo pipefail
(($# == 1)) || { echo "usage: tools/package/libraries.sh PROGRAM" >&2; exit 2; }
elsewhere='^(ld-linux[^/]*|libc|libm|libmvec|libdl|librt|libpthread|libresolv|libutil|libanl|libnsl|libmpi[a-z_]*|libcuda|libnvidia-ml)\.so'

declare -A path seen
while read -r name where; do path[$name]=$where; done < <(ldd "$1" | awk '$2 == "=>" && $3 ~ /^\// {print $1, $3}')
files=("$1")
while ((${#files[@]})); do
  file=${files[0]}
  files=("${files[@]:1}")
  for name in $(patchelf --print-needed "$file"); do
    [[ ! $name =~ $elsewhere && -z ${seen[$name]:-} ]] || continue
    seen[$name]=1
    [[ -n ${path[$name]:-} ]] || { echo "libraries.sh: $file needs $name, which is not on this machine" >&2; exit 1; }
    echo "$name ${path[$name]}"
    files+=("${path[$name]}")
  done
done
