#!/usr/bin/env python3
"""Measures finetune's networks beside timm's in PyTorch: training of all stages, evaluation, and the peak memory of training.

One command, on an idle machine:

  bazel build //src/main:finetune //data_tools:prepare_dataset
  tests/peers/backbones.sh                 # fetches timm beside bench/setup_peer.sh's PyTorch
  bench/backbones.py

Every round measures each network once by finetune and by each mode of PyTorch, in turn, with the same batch and threads; the
table has the median over the rounds. Both start from made-up images of 32x32 pixels that become 224x224 inside the timed step.
finetune is the real program under mpirun, and its figures are those of its own records. PyTorch's modes: fp32 and bf16
(autocast), each as it is and with channels-last memory (cl); one process a mode.
"""
import argparse
import json
import pathlib
import resource
import statistics
import time

import harness
from harness import Failed, median, spread

WARM_UP = 2
PRECISION = {"bf16": "BFLOAT16", "fp32": "FLOAT32"}
CONFIG = "bench/resnet50_speed.pbtxt"
# finetune's backbone, and timm's name for it.
NETWORKS = {
    "efficientnet_lite0": ("efficientnet_lite", "{}", "tf_efficientnet_lite0"),
    "efficientnet_b0": ("efficientnet", "{}", "tf_efficientnet_b0"),
    "convnext_tiny": ("convnext", "{}", "convnext_tiny"),
    "mobilenet_v2": ("mobilenet_v2", "{}", "mobilenetv2_100"),
    "mobilenet_v3_large": ("mobilenet_v3", "{origin: TIMM}", "mobilenetv3_large_100"),
    "vit_small": ("vit", "{}", "vit_small_patch16_224"),
    "swin_tiny": ("swin", "{}", "swin_tiny_patch4_window7_224"),
    "mobilenet_v3_small": ("mobilenet_v3", "{variant: SMALL origin: TIMM}", "mobilenetv3_small_100"),
}
MODES = ["fp32", "fp32_cl", "bf16_cl"]


def peer(network, mode, batch, steps, threads):
    """Prints the JSON line of one network in one of PyTorch's modes."""
    import timm
    import torch
    import torch.nn.functional as F

    words = mode.split("_")
    layout = torch.channels_last if "cl" in words else torch.contiguous_format
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = timm.create_model(network, num_classes=10).to(memory_format=layout)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9, weight_decay=1e-4, foreach=True)
    stored = torch.randint(0, 256, (batch, 3, 32, 32), dtype=torch.uint8)
    labels = torch.randint(0, 10, (batch,))

    def load():
        images = F.interpolate(stored.float(), size=224, mode="bilinear", align_corners=False)
        return ((images - 120) / 50).contiguous(memory_format=layout)

    def autocast():
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled="bf16" in words)

    def train():
        with autocast():
            loss = F.cross_entropy(model(load()), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def evaluate():
        with autocast():
            model(load()).argmax(1)

    def rate(step):
        times = []
        for _ in range(WARM_UP + steps):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return batch / statistics.median(times[WARM_UP:])

    model.train()
    training = rate(train)
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    model.eval()
    print(json.dumps({"train": training, "eval": rate(evaluate), "memory": memory}))


class Bench:
    def __init__(self, flags):
        self.flags, self.folder, self.figures = flags, harness.temporary_folder(), {}
        images = flags.batch * (flags.steps + WARM_UP)
        self.data = harness.make_data(self.folder, max(images, flags.batch * 16), flags.batch * flags.steps)

    def add(self, network, who, train, evaluation, memory):
        for what, value in (("train", train), ("eval", evaluation), ("memory", memory)):
            self.figures.setdefault((network, who, what), []).append(value)
        print(f"  {network} {who}: training {train:.1f} images/s, evaluation {evaluation:.1f}, {memory:.0f} MiB", flush=True)

    def ours(self, network, precision):
        flags = self.flags
        kind, settings, _ = NETWORKS[network]
        settings = {"data.train.path": self.data, "data.val.path": self.data, "data.train.total_batch_size": flags.batch,
                    "data.val.total_batch_size": flags.batch, "schedule.base_batch_size": flags.batch,
                    "runtime.precision": PRECISION[precision], "runtime.threads": flags.threads,
                    f"model.backbone.{kind}": settings, "model.backbone.frozen_stages": -1}
        records, _, _ = harness.train(CONFIG, self.folder, settings, iterations=WARM_UP + flags.steps)
        kept = harness.trained(records, WARM_UP)
        # Three evaluations, each after an iteration. The first warms up.
        records, _, _ = harness.train(CONFIG, self.folder, {**settings, "schedule.val_interval_iterations": 1}, iterations=3)
        rates = [r["pictures"] / r["time"] for r in records if r["mode"] == "val"][1:]
        if not rates:
            raise Failed("finetune left no evaluation records")
        self.add(network, precision, flags.batch / median([r["time"] for r in kept]), median(rates), kept[-1]["memory"])

    def peer(self, network, mode):
        flags = self.flags
        output = harness.run([flags.python, __file__, "--one", mode, "--networks", NETWORKS[network][2], "--batch", flags.batch,
                              "--steps", flags.steps, "--threads", flags.threads],
                             self.folder / "peer.log", {"PYTHONPATH": str(flags.packages)})
        line = json.loads([text for text in output.splitlines() if text.startswith("{")][-1])
        self.add(network, f"PyTorch {mode}", line["train"], line["eval"], line["memory"])

    def round(self):
        for network in self.flags.networks:
            for precision in self.flags.precisions:
                self.ours(network, precision)
            for mode in self.flags.modes:
                self.peer(network, mode)

    def rows(self):
        """(network, precision, what, ours, the best mode, theirs, ratio), medians over the rounds."""
        for network in self.flags.networks:
            for precision in self.flags.precisions:
                best = max((median(values), who) for (of, who, what), values in self.figures.items()
                           if of == network and what == "train" and who.startswith("PyTorch"))[1]
                for what in ("train", "eval", "memory"):
                    mine, theirs = self.figures[network, precision, what], self.figures[network, best, what]
                    yield network, precision, what, mine, best, theirs, [a / b for a, b in zip(mine, theirs)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", type=lambda text: text.split(","), default=list(NETWORKS), help="default: all")
    parser.add_argument("--precisions", type=lambda text: text.split(","), default=None,
                        help="of finetune: fp32, bf16 (default: those that the CPU has instructions for)")
    parser.add_argument("--modes", type=lambda text: text.split(","), default=MODES, help=f"PyTorch's (default: {','.join(MODES)})")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8, help="timed iterations")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--python", type=pathlib.Path, default=harness.DEFAULT_PYTHON, help="with PyTorch")
    parser.add_argument("--packages", type=pathlib.Path, default=pathlib.Path.home() / ".cache/finetune/backbones", help="with timm")
    parser.add_argument("--json", type=pathlib.Path, help="default: bench/results/backbones_DATE.json")
    parser.add_argument("--one", metavar="MODE", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one:
        peer(flags.networks[0], flags.one, flags.batch, flags.steps, flags.threads)
        return
    if unknown := [network for network in flags.networks if network not in NETWORKS]:
        parser.error(f"--networks: {', '.join(unknown)}; expected some of {', '.join(NETWORKS)}")
    if flags.precisions is None:
        has_bfloat16 = "avx512_bf16" in pathlib.Path("/proc/cpuinfo").read_text()
        flags.precisions = ["fp32", "bf16"] if has_bfloat16 else ["fp32"]
    with harness.cleaned_up():
        harness.need(flags.python, "bench/setup_peer.sh makes it")
        harness.need(flags.packages / "timm", "tests/peers/backbones.sh fetches it")
        facts = harness.machine()
        bench = Bench(flags)
        for number in range(flags.rounds):
            print(f"round {number + 1} of {flags.rounds}", flush=True)
            bench.round()
        print()
        harness.print_table(["network", "precision", "", "finetune", "PyTorch's best mode for training", "PyTorch", "finetune / PyTorch"],
                            [(network, precision, {"train": "training images/s", "eval": "evaluation images/s", "memory": "memory MiB"}[what],
                              spread(mine, "{:.1f}"), best, spread(theirs, "{:.1f}"), spread(ratios, "{:.2f}x"))
                             for network, precision, what, mine, best, theirs, ratios in bench.rows()])
        harness.write_json("backbones", flags.json, {
            "machine": facts, "batch": flags.batch, "threads": flags.threads, "steps": flags.steps, "rounds": flags.rounds,
            "figures": [{"network": network, "who": who, "what": what, "values": values}
                        for (network, who, what), values in bench.figures.items()]})


if __name__ == "__main__":
    main()
