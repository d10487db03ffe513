#!/usr/bin/env python3
"""Measures the cost of an all-reduce by message size, number of ranks and algorithm. comm.mpi.algorithm's AUTO was
chosen by these measurements.

    bazel build //bench:allreduce_benchmark
    sudo bench/allreduce.py --markdown=bench/allreduce.md

Runs bench/allreduce_benchmark twice: with all ranks on this machine as one host, and with each rank on a host of its
own. The hosts are network namespaces, joined by a bridge without a rate limit. Beside finetune's own algorithms it
measures MPI_Iallreduce, and MPI_Allreduce with the algorithm that Open MPI's tuned collectives choose, with their ring
and with their segmented ring. MPI_Allreduce blocks its caller and keeps a core busy, so a run could not compute at the
same time; it shows what the network allows. Needs root to make the hosts.
"""
import argparse
import json
import shlex
import sys

import harness

BINARY = harness.ROOT / "bazel-bin/bench/allreduce_benchmark"
ON_HOST = harness.ROOT / "tests/on_host.sh"
ONE_HOST, HOSTS = "one host", "a host each"
# The algorithm that AUTO chooses.
AUTO = {ONE_HOST: "shared memory, own buffer", HOSTS: "AUTO across hosts"}
MPI = "MPI_Allreduce"
TUNED = {f"{MPI}, tuned ring": 4, f"{MPI}, tuned segmented ring": 5}


def mpirun(where, ranks, folder, more, command):
    words, env = harness.mpirun(ranks)
    if where == ONE_HOST:
        return [*words, *more, *command], env
    hosts = ",".join(f"host{i + 1}" for i in range(ranks))
    line = ["mpirun", "-np", ranks, "--host", hosts, "--bind-to", "none", "--mca", "plm_rsh_agent", ON_HOST, "--mca",
            "oob_tcp_if_include", "eth0", "--mca", "btl", "tcp,self", "--mca", "btl_tcp_if_include", "eth0", "--mca",
            "orte_tmpdir_base", folder, "--mca", "mpi_yield_when_idle", "1", *more, *command]
    return [ON_HOST, "host1", shlex.join(str(word) for word in line)], env


def measure(flags, folder):
    rows = []

    def run(where, ranks, more=(), only="", name=None):
        result = folder / "rows.json"
        command = [BINARY, f"--min={flags.min}", f"--max={flags.max}", f"--seconds={flags.seconds}", f"--only={only}",
                   f"--json={result}"]
        line, env = mpirun(where, ranks, folder, more, command)
        harness.run(line, folder / "mpirun.log", env)
        for row in json.loads(result.read_text()):
            rows.append({"where": where, **row, **({"algorithm": name} if name else {})})

    for where in flags.where:
        for ranks in flags.ranks:
            print(f"{ranks} ranks, {where}", flush=True)
            run(where, ranks)
            for name, number in TUNED.items():
                run(where, ranks, ["--mca", "coll_tuned_use_dynamic_rules", "1", "--mca", "coll_tuned_allreduce_algorithm", number],
                    MPI, name)
    return rows


def size_name(size):
    return f"{size / 2**20:g} MiB" if size >= 2**20 else f"{size / 2**10:g} KiB"


def tables(rows):
    """Returns Markdown: for each place and number of ranks a table of milliseconds by size and algorithm."""
    text = []
    for where in dict.fromkeys(row["where"] for row in rows):
        for ranks in dict.fromkeys(row["ranks"] for row in rows):
            mine = {(row["algorithm"], row["bytes"]): row for row in rows if row["where"] == where and row["ranks"] == ranks}
            algorithms = list(dict.fromkeys(name for name, _ in mine))
            cells = []
            for size in sorted({size for _, size in mine}):
                times = {name: mine[name, size]["seconds"] for name in algorithms}
                auto = AUTO[where]
                # Algorithms that send 16 bits round the float32 values, so they are not compared.
                best = min(time for name, time in times.items() if "16" not in name)
                cells.append((size_name(size), *(f"{1e3 * times[name]:.3f}" for name in algorithms),
                              f"{times[auto] / best:.2f}", f"{1e3 * mine[auto, size]['processor_seconds']:.3f}",
                              f"{1e3 * mine[MPI, size]['processor_seconds']:.3f}"))
            text.append(f"## {ranks} ranks, {where}\n\n" + harness.table(
                ["bytes", *algorithms, "AUTO / fastest", "AUTO's processor", f"{MPI}'s processor"], cells))
    return "\n".join(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ranks", default="2,4,8", help="(default %(default)s)")
    parser.add_argument("--where", default="one host,a host each", help="(default %(default)s)")
    parser.add_argument("--min", type=int, default=4 << 10, help="bytes (default %(default)s)")
    parser.add_argument("--max", type=int, default=100 << 20, help="bytes; sizes are four times each other (default %(default)s)")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each figure, and at least five calls (default %(default)s)")
    parser.add_argument("--output", help="JSON file (default bench/results/allreduce_DATE.json)")
    parser.add_argument("--markdown", help="a file for the tables, as well")
    flags = parser.parse_args()
    try:
        flags.ranks = [int(text) for text in flags.ranks.split(",")]
    except ValueError:
        parser.error("--ranks: are whole numbers, as in 2,4,8")
    flags.where = flags.where.split(",")
    if min(flags.ranks) < 2 or max(flags.ranks) > 64:
        parser.error("--ranks: from 2 to 64")
    if bad := set(flags.where) - {ONE_HOST, HOSTS}:
        parser.error(f"--where: {bad.pop()} is neither '{ONE_HOST}' nor '{HOSTS}'")
    if not 4 <= flags.min <= flags.max:
        parser.error("--min is at least 4, and --max as large")
    if HOSTS in flags.where:
        harness.enter_namespaces(f"'--where={ONE_HOST}'")
    with harness.cleaned_up():
        harness.need(BINARY, "bazel build //bench:allreduce_benchmark")
        facts = harness.machine()
        folder = harness.temporary_folder()
        if HOSTS in flags.where:
            harness.make_hosts(max(flags.ranks), folder)
        rows = measure(flags, folder)
        text = tables(rows)
        print("\n" + text, flush=True)
        harness.write_json("allreduce", flags.output, {"machine": facts, "rows": rows})
        if flags.markdown:
            harness.write(flags.markdown, "# All-reduces by message size\n\n" + harness.conditions(facts) +
                          "\nMilliseconds, the median of the slowest rank; `AUTO / fastest` is of those that sum float32 as it is; the "
                          "last columns are\nmilliseconds of a processor that a rank spends.\n\n" + text)


if __name__ == "__main__":
    sys.exit(main())
