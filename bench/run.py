#!/usr/bin/env python3
"""Compares finetune with PyTorch on the fine-tuning job: ResNet-50 at 224x224, stem and stages 1-2 frozen.

Run it on an idle machine (about 5 minutes a round):

  bazel build //src/main:finetune //data_tools:prepare_dataset //bench:conv_alone
  bench/setup_peer.sh
  bench/run.py

Every round measures everything once, finetune and PyTorch in turn, with the same batch and threads. The table has the
median over the rounds of each round's own ratio, with the least and the greatest ratio. finetune is the real program
under mpirun on random images; its results come from its own records after two warm-up iterations. PyTorch's best mode
is the one with the highest median rate. PyTorch's script runs in one process for each mode and prints JSON.

`--before=CHECKOUT` also measures the programs that another checkout has built, in turn with this one's. Each round
swaps which of the two goes first. A table compares every measurement of the two.
"""
import argparse
import json
import pathlib
import sys

import harness
from harness import Failed, median, spread

WARM_UP = 2
PRECISION = {"bf16": "BFLOAT16", "fp32": "FLOAT32"}
CONFIG = "bench/resnet50_speed.pbtxt"
MANY_RANKS, MANY_RANKS_CONFIG = 8, "bench/resnet18_links.pbtxt"
PARTS = ["bf16", "fp32", "conv", "ranks", "start", "checkpoint"]


class Build:
    """The finetune that one checkout has built. The names of its measurements begin with `name`."""

    def __init__(self, name, root, folder, train_images, test_images):
        self.name, self.root, self.folder = name, root, folder / name
        self.folder.mkdir()
        self.config = root / CONFIG
        # Each build reads data that its own prepare_dataset has written.
        self.data = harness.make_data(self.folder, train_images, test_images, root)
        self.checkpoint = None

    def train(self, settings, config=None, **more):
        return harness.train(config or self.config, self.folder, settings, root=self.root, **more)


class Bench:
    """Runs the measurements. figures: {name: [one value for each round]}."""

    def __init__(self, flags):
        self.flags = flags
        self.folder = harness.temporary_folder()
        self.figures = {}
        # The precision that runtime.precision FASTEST chooses here.
        self.fastest = "bf16" if "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text() else "fp32"
        if self.fastest == "fp32" and "bf16" in flags.parts:
            print("this CPU has no instructions for bfloat16: bf16 is left out, and the fastest precision is float32")
            flags.parts = [part for part in flags.parts if part != "bf16"]
        self.failed_modes = {}
        images = flags.batch * (flags.steps + WARM_UP)
        roots = {"ours": harness.ROOT, **({"before": flags.before} if flags.before else {})}
        self.builds = [Build(name, root, self.folder, max(images, flags.batch * 16), flags.batch * flags.steps)
                       for name, root in roots.items()]

    def add(self, name, value):
        self.figures.setdefault(name, []).append(value)
        print(f"  {name}: {value:.4g}", flush=True)

    def settings(self, build, precision, threads=None, **more):
        return {"data.train.path": build.data, "data.val.path": build.data,
                "data.train.total_batch_size": self.flags.batch, "data.val.total_batch_size": self.flags.batch,
                "schedule.base_batch_size": self.flags.batch, "runtime.precision": PRECISION[precision],
                "runtime.threads": threads or self.flags.threads, **{k.replace("__", "."): v for k, v in more.items()}}

    def pretrained(self, build):
        """Returns a checkpoint with random weights and the size of ImageNet's ResNet-50."""
        if build.checkpoint is None:
            work_dir = build.folder / "first"
            words, env = harness.mpirun(1)
            harness.run(words + harness.finetune_command(build.config, work_dir, self.settings(build, self.fastest),
                                                         ["--max_iterations=1"], root=build.root),
                        build.folder / "first.log", env)
            build.checkpoint = (work_dir / "latest.pth").resolve()
        return {"model.backbone.pretrained.checkpoint": build.checkpoint, "model.backbone.pretrained.prefix": "backbone"}

    def rate(self, records):
        kept = harness.trained(records, WARM_UP)
        return self.flags.batch / median([r["time"] for r in kept]), kept

    def ours(self, build, precision):
        name = f"{build.name} {precision}"
        records, _, _ = build.train(self.settings(build, precision), iterations=WARM_UP + self.flags.steps)
        rate, kept = self.rate(records)
        self.add(f"{name} train images/s", rate)
        self.add(f"{name} memory MiB", kept[-1]["memory"])
        self.add(f"{name} data share", sum(r["data_time"] for r in kept) / sum(r["time"] for r in kept))
        # Runs three evaluations, each after one iteration. The first one is warm-up.
        records, _, _ = build.train(self.settings(build, precision, schedule__val_interval_iterations=1), iterations=3)
        rates = [r["pictures"] / r["time"] for r in records if r["mode"] == "val"][1:]
        if not rates:
            raise Failed("finetune left no evaluation records")
        self.add(f"{name} eval images/s", median(rates))

    def peer(self, precision):
        flags = self.flags
        for mode in flags.modes:
            if not mode.startswith(precision) or mode in self.failed_modes:
                continue
            try:
                output = harness.run([flags.python, flags.peer, "--one", mode, "--batch", flags.batch, "--steps", flags.steps,
                                      "--threads", flags.threads], self.folder / "peer.log")
                line = json.loads([text for text in output.splitlines() if text.startswith("{")][-1])
                train, evaluation, memory = line["train_images_per_s"], line["eval_images_per_s"], line["peak_rss_mib"]
            except (Failed, IndexError, KeyError, ValueError) as error:
                self.failed_modes[mode] = str(error)
                print(f"  PyTorch's mode {mode} failed and is left out: {error}", flush=True)
                continue
            self.add(f"peer {mode} train images/s", train)
            self.add(f"peer {mode} eval images/s", evaluation)
            self.add(f"peer {mode} memory MiB", memory)

    def conv(self, build, precision):
        flags = self.flags
        binary = harness.need(build.root / "bazel-bin/bench/conv_alone", "bazel build //bench:conv_alone")
        result = build.folder / "conv.json"
        harness.run([binary, f"--batch={flags.batch}", f"--threads={flags.threads}", f"--precision={precision}",
                     f"--sweeps={max(3, flags.steps // 2)}", f"--json={result}"], build.folder / "conv.log")
        line = json.loads(result.read_text())
        self.add(f"{build.name} conv {precision} train images/s", line["train_images_per_s"])
        self.add(f"{build.name} conv {precision} eval images/s", line["eval_images_per_s"])

    def ranks(self, build):
        steps = WARM_UP + self.flags.steps
        one, _, _ = build.train(self.settings(build, self.fastest, threads=2), iterations=steps)
        two, _, _ = build.train(self.settings(build, self.fastest, threads=1), ranks=2, iterations=steps)
        self.add(f"{build.name} 1 rank x 2 threads images/s", self.rate(one)[0])
        self.add(f"{build.name} 2 ranks x 1 thread images/s", self.rate(two)[0])

    def start(self, build):
        settings = {**self.settings(build, self.fastest), **self.pretrained(build)}
        records, start, output = build.train(settings, iterations=2, watch=True)
        if "backbone from" not in output:
            raise Failed(f"finetune did not say that it had loaded {build.checkpoint}:\n{output[-2000:]}")
        self.add(f"{build.name} start to first iteration s", harness.trained(records, 0)[0]["arrival"] - start)
        settings = {"data.train.path": build.data, "runtime.threads": 1}
        records, start, _ = build.train(settings, config=build.root / MANY_RANKS_CONFIG, ranks=MANY_RANKS, iterations=1, watch=True)
        self.add(f"{build.name} start of {MANY_RANKS} ranks s", harness.trained(records, 0)[0]["arrival"] - start)

    def checkpoints(self, build):
        """Measures the stall by a checkpoint: how much longer the time between the records of two iterations is if a
        checkpoint is saved between them. It includes the snapshot, and an iteration during which the checkpoint is
        written."""
        every, saves = 4, 3
        records, _, _ = build.train(self.settings(build, self.fastest, runtime__checkpoint__interval_iterations=every),
                                    iterations=every * saves + every - 1, watch=True)
        kept = harness.trained(records, 0)
        gaps = {later["iteration"]: later["arrival"] - earlier["arrival"] for earlier, later in zip(kept, kept[1:])}
        # Iteration 5 is the first one after a save. A save may slow the two iterations after it.
        calm = [gap for iteration, gap in gaps.items() if iteration > WARM_UP and (iteration - 1) % every >= 2]
        stalls = [gap - median(calm) for iteration, gap in gaps.items() if iteration > every and (iteration - 1) % every == 0]
        self.add(f"{build.name} checkpoint stall s", max(0.0, median(stalls)))
        self.add(f"{build.name} checkpoint stall, worst s", max(0.0, max(stalls)))

    def round(self, number):
        parts = self.flags.parts
        builds = self.builds if number % 2 == 0 else self.builds[::-1]
        for precision in ("bf16", "fp32"):
            if precision not in parts:
                continue
            for build in builds:
                self.ours(build, precision)
            if self.flags.peer:
                self.peer(precision)
            if "conv" in parts:
                for build in builds:
                    self.conv(build, precision)
        for part, measure in (("ranks", self.ranks), ("start", self.start), ("checkpoint", self.checkpoints)):
            if part in parts:
                for build in builds:
                    measure(build)

    def best(self, what, precision=""):
        """Returns the name of PyTorch's mode with the highest median rate."""
        found = [(median(values), name) for name, values in self.figures.items()
                 if name.startswith(f"peer {precision}") and name.endswith(f"{what} images/s")]
        return max(found)[1] if found else None

    def rows(self):
        """Returns the rows of the table: (name, target, one value for each round, whether more is better, format)."""
        def ratio(over, under):
            pairs = zip(self.figures.get(over, []), self.figures.get(under, []))
            return [a / b for a, b in pairs]
        def mode(name):
            return name.split()[1] if name else "not measured"
        fast, word = self.fastest, {"bf16": "bf16", "fp32": "float32"}[self.fastest]
        train, evaluation, train32 = self.best("train"), self.best("eval"), self.best("train", "fp32")
        memory = train and train.replace("train images/s", "memory MiB")
        times, percent = "{:.2f}x", "{:.1%}"
        rows = [
            (f"{word} training / PyTorch's best mode ({mode(train)})", 2.5, ratio(f"ours {fast} train images/s", train), True, times),
            (f"{word} training / PyTorch float32", 7, ratio(f"ours {fast} train images/s", "peer fp32 train images/s"), True, times),
            (f"{word} evaluation / PyTorch's best mode ({mode(evaluation)})", 2.5, ratio(f"ours {fast} eval images/s", evaluation), True, times),
            (f"float32 training / PyTorch's best float32 mode ({mode(train32)})", 1.3, ratio("ours fp32 train images/s", train32), True, times),
            (f"{word} training / its convolutions alone", 0.6, ratio(f"ours {fast} train images/s", f"ours conv {fast} train images/s"), True, percent),
            (f"{word} evaluation / its convolutions alone", 0.8, ratio(f"ours {fast} eval images/s", f"ours conv {fast} eval images/s"), True, percent),
            ("float32 evaluation / PyTorch's best float32 mode", None, ratio("ours fp32 eval images/s", self.best("eval", "fp32")), True, times),
            (f"peak memory, {word} / PyTorch's best mode ({mode(train)})", 0.6, ratio(f"ours {fast} memory MiB", memory), False, times),
            (f"share of a {word} step waiting for data", 0.01, self.figures.get(f"ours {fast} data share", []), False, "{:.2%}"),
            (f"2 ranks x 1 thread / 1 rank x 2 threads, {word}", 0.95, ratio("ours 2 ranks x 1 thread images/s", "ours 1 rank x 2 threads images/s"), True, times),
            ("start to the end of the first iteration, checkpoint loaded", 3, self.figures.get("ours start to first iteration s", []), False, "{:.2f} s"),
            ("a step's stall by writing a checkpoint", 0.2, self.figures.get("ours checkpoint stall s", []), False, "{:.3f} s"),
        ]
        return [row for row in rows if row[2]]

    def compared(self):
        """Returns (name, values before, values now, now / before for each round) of every measurement that both builds
        have."""
        found = []
        for name, before in self.figures.items():
            now = self.figures.get(name.replace("before ", "ours ", 1), [])
            if name.startswith("before ") and now:
                ratios = [a / b for a, b in zip(now, before) if b]
                found.append((name.removeprefix("before "), before, now, ratios))
        return found

    def result(self, facts):
        flags = self.flags
        return {"machine": facts, "before": str(flags.before or ""), "batch": flags.batch, "threads": flags.threads, "steps": flags.steps, "rounds": flags.rounds,
                "figures": self.figures, "failed_modes": self.failed_modes,
                "rows": [{"what": what, "target": target, "values": values, "median": median(values), "more_is_better": more}
                         for what, target, values, more, _ in self.rows()]}

    def print(self):
        print()
        harness.print_table(["images/s, MiB, s", "median (least..greatest)"],
                            [(name, spread(values, "{:.3g}" if median(values) < 1 else "{:.1f}"))
                             for name, values in self.figures.items()])
        print()
        table = []
        for what, target, values, more, form in self.rows():
            sign = "at least" if more else "less than"
            met = "" if target is None else ("yes" if (median(values) >= target) == more else "NO")
            table.append((what, spread(values, form), "" if target is None else f"{sign} {form.format(target)}", met))
        harness.print_table(["", "median (least..greatest)", "target", "met"], table)
        if compared := self.compared():
            print()
            harness.print_table(["median (least..greatest)", "before", "now", "now / before"],
                                [(name, spread(before, "{:.3g}"), spread(now, "{:.3g}"), spread(ratios, "{:.3f}"))
                                 for name, before, now, ratios in compared])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", default=harness.ROOT / "bench/pytorch_peer.py",
                        help="PyTorch's script (default %(default)s); empty: finetune alone is measured")
    parser.add_argument("--before", type=pathlib.Path, help="another checkout, which has built the same programs")
    parser.add_argument("--python", default=harness.DEFAULT_PYTHON, help="a Python with PyTorch (default %(default)s)")
    parser.add_argument("--modes", default="bf16_cl,bf16_cl_frozen,bf16_cl_compile,fp32,fp32_cl,fp32_cl_frozen,fp32_cl_compile",
                        help="PyTorch's modes (default %(default)s)")
    parser.add_argument("--parts", default=",".join(PARTS), help="what to measure (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="(default %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="timed iterations of each measurement (default %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="(default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default %(default)s)")
    parser.add_argument("--output", help="JSON file (default bench/results/speed_DATE.json)")
    flags = parser.parse_args()
    flags.modes, flags.parts = flags.modes.split(","), flags.parts.split(",")
    if unknown := set(flags.parts) - set(PARTS):
        parser.error(f"--parts: no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    if min(flags.rounds, flags.steps, flags.batch, flags.threads) < 1:
        parser.error("--rounds, --steps, --batch and --threads are at least 1")
    with harness.cleaned_up():
        if flags.peer:
            flags.peer = harness.need(pathlib.Path(flags.peer).resolve(), "--peer names PyTorch's script")
            flags.python = harness.need(flags.python, "run bench/setup_peer.sh, or name another with --python")
        if flags.before:
            flags.before = flags.before.resolve()
        facts = harness.machine()
        bench = Bench(flags)
        try:
            for number in range(flags.rounds):
                print(f"round {number + 1} of {flags.rounds}", flush=True)
                bench.round(number)
        finally:
            # Prints and writes the results so far also after an error or Ctrl-C.
            if bench.figures:
                bench.print()
                harness.write_json("speed", flags.output, bench.result(facts))


if __name__ == "__main__":
    sys.exit(main())
