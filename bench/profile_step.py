#!/usr/bin/env python3
"""Measures where the time of one training step goes, by operator, in the real program.

  bench/profile_step.py [--config=FILE] [--set=PATH=VALUE ...] [--precision=bf16]

Prints two tables. The first is made from oneDNN's log (ONEDNN_VERBOSE=profile_exec): milliseconds a step by primitive,
kind and, with --shapes, shape. Two runs of different lengths are subtracted, so that the start of a run does not count.
The second is made by perf: the share of all threads' samples in the later iterations by group of functions, and the
functions with the most samples. It needs `perf` (apt-get install linux-perf), but no hardware counters. The default job
is bench/resnet50_speed.pbtxt.
"""
import argparse
import collections
import re
import shutil
import subprocess
import sys
import time

import harness
from harness import Failed, median

WARM_UP = 3
CONFIG = harness.ROOT / "bench/resnet50_speed.pbtxt"

# (name of a group, regular expression). A function belongs to the first group whose expression matches its shared
# object or name.
GROUPS = [
    ("oneDNN: compiled kernels (convolutions, reorders)", r"\[JIT\]|perf-\d+\.map|\[unknown\]|//anon|memfd"),
    ("products: Winograd's, 1x1 convolutions, weight gradients", r"MultiplyTile"),
    ("Winograd's transforms", r"Winograd"),
    ("packing what is multiplied", r"finetune::.*(Products|Pointwise)"),
    ("max pooling", r"MaxPool|max_pool|maxpool"),
    ("batch norm, add, ReLU", r"AddGradientsOf|BackwardOf|ForwardOf|AddMomentsOf|batch_?norm|BatchNorm|Welford"),
    ("waiting for the other threads (OpenMP)", r"libgomp"),
    ("kernel: page faults, clearing memory", r"clear_page|page_fault|handle_mm_fault|rmqueue|__alloc_pages|get_page_from|free_unref|release_pages|charge|lru_|unmap|zap_"),
    ("kernel: other", r"\[kernel|\[guest|\[k\]"),
    ("oneDNN: the rest", r"dnnl"),
    ("matrix product (MKL)", r"mkl_|gemm|sgemm"),
    ("optimiser", r"Sgd|AdamW|Lars|Lamb|RmsProp|LayerPasses|UpdateRange|MeasureRange|AddSquares"),
    ("data: read, augment, resize", r"finetune::.*(Pipeline|Resize|Loader|Shard|Dataset|Augment|Crop)|H5|fletcher"),
    ("communication", r"libmpi|libopen|mca_|finetune::.*(Communicator|AllReduce|Ring)|opal_"),
    ("ReLU", r"relu|threshold|clamp_min"),
    ("add, multiply", r"add_kernel|add_clamp|mul_kernel|AddKernel|binary_kernel"),
    ("copies and casts", r"copy|memcpy|memmove|memset|convert|fill"),
    ("sums and means", r"mean|sum_kernel|cascade_sum|reduce"),
    ("finetune, other", r"finetune::"),
    ("LibTorch, other", r"libtorch|at::|c10::|torch::"),
]


def steps(flags, folder, iterations, env):
    settings = {"data.train.path": flags.data, "runtime.threads": flags.threads,
                "runtime.precision": {"bf16": "BFLOAT16", "fp32": "FLOAT32"}[flags.precision],
                **({"data.val.path": flags.data} if flags.config == CONFIG else {}),
                **dict(text.split("=", 1) for text in flags.set)}
    work_dir = folder / "run"
    shutil.rmtree(work_dir, ignore_errors=True)
    words, mpi_env = harness.mpirun(1)
    command = words + harness.finetune_command(flags.config, work_dir, settings, [f"--max_iterations={iterations}"])
    return work_dir, harness.Process(command, folder / "finetune.log", {**mpi_env, **env})


def onednn_times(flags, folder, iterations):
    """Returns {(primitive, kind, implementation, shape): [calls, milliseconds]} of a whole run."""
    _, process = steps(flags, folder, iterations, {"ONEDNN_VERBOSE": "profile_exec"})
    with process:
        process.wait()
        text = process.output()
    found = collections.defaultdict(lambda: [0, 0.0])
    for line in text.splitlines():
        # onednn_verbose,v1,primitive,exec,ENGINE,PRIMITIVE,IMPLEMENTATION,KIND,MEMORY,ATTRIBUTES,ALGORITHM,SHAPE,MILLISECONDS
        fields = line.split(",")
        if len(fields) < 13 or fields[0] != "onednn_verbose" or "exec" not in fields[2:4]:
            continue
        entry = found[fields[5], fields[7], fields[6], fields[-2]]
        try:
            entry[1] += float(fields[-1])
        except ValueError:
            continue  # two threads wrote their lines at the same time
        entry[0] += 1
    if not found:
        raise Failed("finetune printed no lines of oneDNN's; is its LibTorch built with oneDNN?")
    return found


def print_onednn(flags, folder):
    short, long = onednn_times(flags, folder, WARM_UP), onednn_times(flags, folder, WARM_UP + flags.steps)
    sums = collections.defaultdict(lambda: [0.0, 0.0])
    for key, (calls, milliseconds) in long.items():
        row = key if flags.shapes else key[:2]
        before = short.get(key, (0, 0.0))
        sums[row][0] += (calls - before[0]) / flags.steps
        sums[row][1] += (milliseconds - before[1]) / flags.steps
    rows = [(key, *values) for key, values in sums.items() if values[0] > 0]
    rows.sort(key=lambda row: -row[2])
    print(f"\noneDNN, ms a step ({flags.steps} steps)")
    harness.print_table(["primitive", "kind", *(["implementation", "shape"] if flags.shapes else []), "calls", "ms"],
                        [(*(part if part != "undef" else "" for part in key), f"{calls:.1f}", f"{ms:.2f}")
                         for key, calls, ms in rows[:flags.top]] +
                        [("all", *[""] * (3 if flags.shapes else 1), f"{sum(r[1] for r in rows):.1f}", f"{sum(r[2] for r in rows):.2f}")])


def rank_pid(mpirun_pid):
    """Returns the process id of the finetune that an mpirun has started."""
    out = subprocess.run(["ps", "-eo", "pid=,ppid=,comm="], capture_output=True, text=True).stdout
    children = collections.defaultdict(list)
    for line in out.splitlines():
        pid, parent, name = line.split(None, 2)
        children[int(parent)].append((int(pid), name))
    todo = [mpirun_pid]
    while todo:
        for pid, name in children[todo.pop()]:
            if name.startswith("finetune"):
                return pid
            todo.append(pid)
    raise Failed("there is no finetune process under mpirun; did it end already? Give more --steps")


def print_perf(flags, folder):
    perf = shutil.which("perf")
    if perf is None:
        raise Failed("perf is not there: apt-get install linux-perf, or --perf=0")
    data = folder / "perf.data"
    work_dir, process = steps(flags, folder, WARM_UP + flags.steps, {})
    records = harness.Records(work_dir)
    with process:
        while process.running() and len(records.read()) < WARM_UP:
            time.sleep(0.005)
        with harness.Process([perf, "record", "-q", "-e", "cpu-clock", "-F", flags.frequency, "-o", data, "-p",
                              rank_pid(process.popen.pid)], folder / "perf.log") as recorder:
            # Stops recording when the last iteration has ended, because then the run saves a checkpoint.
            while process.running() and recorder.running() and len(records.read()) < WARM_UP + flags.steps:
                time.sleep(0.005)
            recorder.popen.send_signal(2)
            recorder.popen.wait(60)
        process.wait()
    kept = harness.trained(records.read(), WARM_UP)
    records.close()
    if not data.exists():
        raise Failed(f"perf left no data:\n{recorder.tail()}")
    text = harness.run([perf, "report", "-i", data, "--stdio", "-g", "none", "--sort", "dso,symbol", "-t", "|", "--percent-limit",
                        "0.01"], folder / "report.log")
    groups, functions = collections.Counter(), []
    for line in text.splitlines():
        match = re.match(r"\s*([0-9.]+)%?\s*\|(.*?)\|(.*)", line)
        if not match:
            continue
        share, where, name = float(match[1]), match[2].strip(), re.sub(r"^\[[.k]\] |\s*\|-\s+-$", "", match[3].strip())
        group = next((g for g, pattern in GROUPS if re.search(pattern, f"{where} {name}")), "other")
        groups[group] += share
        if group != GROUPS[0][0]:  # compiled kernels have no names
            functions.append((share, where, name))
    if not groups:
        raise Failed("perf counted no samples; give more --steps")
    step = median([r["time"] for r in kept])
    print(f"\nperf, share of the samples; a step took {step * 1e3:.1f} ms, {harness.trained(kept, 0)[0]['data_time'] * 1e3:.2f} ms of it waiting for data")
    harness.print_table(["group", "share"], [(name, f"{share:.1f} %") for name, share in groups.most_common()])
    print()
    harness.print_table(["function", "in", "share"], [(name if len(name) <= 120 else f"{name[:40]} ... {name[-75:]}", where, f"{share:.1f} %") for share, where, name in sorted(functions, reverse=True)[:flags.top]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", default=CONFIG, help="(default %(default)s)")
    parser.add_argument("--set", action="append", default=[], help="for the config; repeatable")
    parser.add_argument("--data", help="a prepared data set (default: made-up 32x32 images)")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16", help="(default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="after three of warm-up (default %(default)s)")
    parser.add_argument("--shapes", action="store_true", help="oneDNN's table by implementation and shape as well")
    parser.add_argument("--top", type=int, default=25, help="rows of a table at most (default %(default)s)")
    parser.add_argument("--frequency", type=int, default=499, help="perf's samples a second (default %(default)s)")
    parser.add_argument("--onednn", type=int, default=1, help="0: not the first table")
    parser.add_argument("--perf", type=int, default=1, help="0: not the second")
    flags = parser.parse_args()
    if bad := [text for text in flags.set if "=" not in text]:
        parser.error(f"--set={bad[0]}: is not PATH=VALUE")
    if min(flags.steps, flags.threads, flags.top, flags.frequency) < 1:
        parser.error("--steps, --threads, --top and --frequency are at least 1")
    with harness.cleaned_up():
        harness.machine()
        folder = harness.temporary_folder()
        flags.data = flags.data or harness.make_data(folder, 32 * (WARM_UP + flags.steps), 32)
        if flags.onednn:
            print_onednn(flags, folder)
        if flags.perf:
            print_perf(flags, folder)


if __name__ == "__main__":
    sys.exit(main())
