#!/bin/sh
# Runs a program under mpirun as the tests do: `mpirun.sh RANKS PROGRAM [ARGUMENTS]`. Ranks may share cores, and root
# may run them.
set -u
ranks=$1
shift
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
# Without this, all ranks would write to the one result file that Bazel names.
unset XML_OUTPUT_FILE
exec mpirun -np "$ranks" --oversubscribe --bind-to none --tag-output "$@"
