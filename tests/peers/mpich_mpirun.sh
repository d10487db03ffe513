#!/bin/bash
# MPICH's mpiexec with Open MPI's options, for tests: tests/peers/mpi.sh puts it into PATH as `mpirun`. MPIEXEC names
# the program. --oversubscribe is dropped, because MPICH always allows it.
set -u
words=()
while [ $# -gt 0 ]; do
  case $1 in
    -np | -n | --host | --map-by | --bind-to)
      case $1 in
        -np | -n) words+=(-n "$2") ;;
        --host) words+=(-hosts "$2") ;;
        *) words+=("${1#-}" "$2") ;;
      esac
      shift 2
      ;;
    -x)
      words+=(-genv "${2%%=*}" "${2#*=}")
      shift 2
      ;;
    --oversubscribe) shift ;;
    --tag-output)
      words+=(-prepend-rank)
      shift
      ;;
    -*)
      echo "mpich_mpirun.sh: $1: not translated yet" >&2
      exit 2
      ;;
    *) break ;;
  esac
done
exec "$MPIEXEC" "${words[@]}" "$@"
