#!/usr/bin/env python3
"""Measures the cost of communication over slow links: finetune under mpirun, and PyTorch's DDP over gloo.

The model is ResNet-18 with CIFAR's stem, all of it trained, on two ranks of one thread each. Both ranks are on this
machine (`local`), or on two hosts. The hosts are network namespaces with an emulated link between them: a veth pair to
a bridge, and tc's token bucket at both ends with the link's rate in Gbit/s. (No delay is emulated, because that needs
netem, which not every kernel has.) For each link and program it prints:

  step            the time of a training step, the median after two warm-up steps
  efficiency      the step of one rank alone on the machine, with as many images a rank, divided by this step
  compute alone   the same step without communication, with both ranks computing at the same time
  communication   an all-reduce of as many bytes as the gradients have, without computation at the same time
  hidden          the share of the communication that does not lengthen the step:
                  (compute + communication - step) / communication

Computation and communication of a rank share its core, so the processor time that TCP needs cannot be hidden. Needs
root. All that the script makes lies in namespaces of its own, which end with it. Build first:

  bazel build //src/main:finetune //data_tools:prepare_dataset //bench:allreduce_benchmark && bench/setup_peer.sh
"""
import argparse
import contextlib
import json
import shlex
import shutil
import sys

import harness
from harness import Failed, median, spread

WARM_UP = 2
CONFIG = harness.ROOT / "bench/resnet18_links.pbtxt"
ON_HOST = harness.ROOT / "tests/on_host.sh"
# The names of the rows without a link: one rank alone, and one rank of two threads with the images of both ranks.
ALONE = "none: 1 rank"
TWO_THREADS = "none: 1 rank x 2 threads"

# SOURCE sends to SINK for a second and prints the rate in Gbit/s.
SINK = """import socket
s = socket.create_server(("10.9.0.1", 9999)); c, _ = s.accept()
while c.recv(1 << 20): pass
c.sendall(b"x")"""
SOURCE = """import socket, time
for _ in range(500):
    try: c = socket.create_connection(("10.9.0.1", 9999)); break
    except OSError: time.sleep(0.02)
n, data, start = 0, bytes(1 << 20), time.time()
while time.time() < start + 1: c.sendall(data); n += len(data)
c.shutdown(socket.SHUT_WR); c.recv(1); print(n * 8e-9 / (time.time() - start))"""


def on_host(host, command):
    return [ON_HOST, host, shlex.join(str(c) for c in command)]


class Links:
    def __init__(self, flags):
        self.flags = flags
        self.folder = harness.temporary_folder()
        self.data = harness.make_data(self.folder, 2 * flags.batch * (WARM_UP + flags.steps), 16)
        self.count = 0
        if any(link != "local" for link in flags.links):
            harness.make_hosts(2, self.folder)

    def sh(self, *command):
        return harness.run(command, self.folder / "sh.log", timeout=60)

    def set_rate(self, gigabits):
        """Limits both directions of the link. The token bucket holds what the link sends in 1 ms, and the queue what it
        sends in 50 ms."""
        burst = int(max(gigabits * 1e9 / 8 * 0.001, 128 * 1024))
        for host in ("host1", "host2"):
            self.sh("tc", "-n", host, "qdisc", "replace", "dev", "eth0", "root", "tbf", "rate", f"{gigabits * 1000:.0f}mbit",
                    "burst", burst, "latency", "50ms")

    def measured_rate(self):
        with harness.Process(on_host("host1", [sys.executable, "-c", SINK]), self.folder / "sink.log", timeout=60):
            return float(harness.run(on_host("host2", [sys.executable, "-c", SOURCE]), self.folder / "source.log", timeout=60))

    def mpirun(self, link, ranks=2):
        words, env = harness.mpirun(ranks)
        if link != "local":
            words = [*on_host("host1", ["mpirun", "-np", ranks, "--host", "host1,host2", "--bind-to", "none", "--mca",
                                        "plm_rsh_agent", ON_HOST, "--mca", "oob_tcp_if_include", "eth0", "--mca", "btl", "tcp,self",
                                        "--mca", "btl_tcp_if_include", "eth0", "--mca", "orte_tmpdir_base", self.folder])]
        return words, env

    def all_together(self, commands, env):
        """Runs the commands at the same time. Returns the output of the first one."""
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(harness.Process(command, self.folder / f"rank{i}.log", {**env, **more}))
                         for i, (command, more) in enumerate(commands)]
            for process in processes:
                process.wait()
            return processes[0].output()

    def finetune(self, link, ranks, runs=1, batch=None, threads=1):
        """Returns the median time of a step. Runs `runs` trainings at the same time, each on `ranks` ranks with `batch`
        images."""
        flags = self.flags
        words, env = self.mpirun(link, ranks)
        settings = {"data.train.path": self.data, "data.train.total_batch_size": (batch or flags.batch) * ranks,
                    "runtime.threads": threads, "runtime.precision": {"bf16": "BFLOAT16", "fp32": "FLOAT32"}[flags.precision],
                    **dict(text.split("=", 1) for text in flags.set)}
        folders = [self.folder / f"run{i}" for i in range(runs)]
        commands = []
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
            command = harness.finetune_command(CONFIG, folder, settings, [f"--max_iterations={WARM_UP + flags.steps}"])
            if link == "local":
                commands.append((words + command, {}))
            else:
                commands.append(([*words[:-1], words[-1] + " " + shlex.join(str(c) for c in command)], {}))
        self.all_together(commands, env)
        times = []
        for folder in folders:
            records = harness.Records(folder)
            try:
                times += [r["time"] for r in harness.trained(records.read(), WARM_UP)]
            finally:
                records.close()
        return median(times)

    def all_reduce(self, link, size):
        """Returns the time of an all-reduce by the algorithm that finetune chooses."""
        binary = harness.need(harness.ROOT / "bazel-bin/bench/allreduce_benchmark", "bazel build //bench:allreduce_benchmark")
        result = self.folder / "allreduce.json"
        words, env = self.mpirun(link)
        wanted = "shared memory, own buffer" if link == "local" else "AUTO across hosts"
        command = [binary, f"--min={size}", f"--max={size}", f"--seconds={self.flags.seconds}", f"--only={wanted}",
                   f"--json={result}"]
        if link == "local":
            harness.run(words + command, self.folder / "allreduce.log", env)
        else:
            harness.run([*words[:-1], words[-1] + " " + shlex.join(str(c) for c in command)], self.folder / "allreduce.log", env)
        rows = json.loads(result.read_text())
        seconds = {row["algorithm"]: row["seconds"] for row in rows}
        if wanted not in seconds:
            raise Failed(f"allreduce_benchmark has no row of the algorithm {wanted}: {', '.join(seconds)}")
        return seconds[wanted]

    def peer(self, link, mode, ranks=2, batch=None, threads=1):
        flags = self.flags
        self.count += 1
        commands = []
        for rank in range(ranks):
            command = [flags.python, harness.ROOT / "bench/ddp_peer.py", f"--init=file://{self.folder}/init{self.count}",
                       f"--mode={mode}", f"--batch={batch or flags.batch}", f"--steps={flags.steps}", f"--threads={threads}",
                       f"--precision={flags.precision}"]
            more = {"RANK": str(rank), "WORLD_SIZE": str(ranks), "GLOO_SOCKET_IFNAME": "lo" if link == "local" else "eth0"}
            commands.append((command if link == "local" else on_host(f"host{rank + 1}", command), more))
        output = self.all_together(commands, {})
        return json.loads([line for line in output.splitlines() if line.startswith("{")][-1])

    def measure(self):
        """Measures one round. Returns {(link, program): {name of the measurement: seconds}}."""
        flags, result = self.flags, {}
        def note(link, program, **values):
            result.setdefault((link, program), {}).update(values)
            print(f"  {link}, {program}: " + ", ".join(f"{k} {v:.4g}" for k, v in values.items()), flush=True)
        size = 44695848
        alone = {"finetune": self.finetune("local", ranks=1)}
        note(ALONE, "finetune", step=alone["finetune"])
        if flags.peer:
            answer = self.peer("local", "compute", ranks=1)
            size, alone["PyTorch"] = answer["bytes"], answer["seconds"]
            note(ALONE, "PyTorch", step=alone["PyTorch"])
        both = {"ranks": 1, "batch": 2 * flags.batch, "threads": 2}
        note(TWO_THREADS, "finetune", step=self.finetune("local", **both))
        if flags.peer:
            note(TWO_THREADS, "PyTorch", step=self.peer("local", "train", **both)["seconds"])
        ours = self.finetune("local", ranks=1, runs=2)
        theirs = self.peer("local", "compute")["seconds"] if flags.peer else None
        for link in flags.links:
            facts = {}
            if link != "local":
                self.set_rate(float(link))
                facts["gigabits"] = self.measured_rate()
            note(link, "finetune", step=self.finetune(link, ranks=2), compute=ours, communication=self.all_reduce(link, size), **facts)
            if flags.peer:
                note(link, "PyTorch", step=self.peer(link, "train")["seconds"], compute=theirs,
                     communication=self.peer(link, "comm")["seconds"], **facts)
        for (_, program), values in result.items():
            if "communication" not in values:
                continue
            values["efficiency"] = alone[program] / values["step"]
            values["hidden"] = min(1, max(0, (values["compute"] + values["communication"] - values["step"]) / values["communication"]))
        return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--links", default="local,10,1", help="Gbit/s, or local (default %(default)s)")
    parser.add_argument("--batch", type=int, default=32, help="images a rank and step (default %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="timed steps (default %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="(default %(default)s)")
    parser.add_argument("--seconds", type=float, default=3, help="for measuring an all-reduce alone (default %(default)s)")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="fp32", help="(default %(default)s)")
    parser.add_argument("--set", action="append", default=[], help="for finetune's config, as in comm.compression=BF16; repeatable")
    parser.add_argument("--python", default=harness.DEFAULT_PYTHON, help="a Python with PyTorch (default %(default)s)")
    parser.add_argument("--peer", type=int, default=1, help="0: finetune alone (default %(default)s)")
    parser.add_argument("--output", help="JSON file (default bench/results/links_DATE.json)")
    parser.add_argument("--markdown", help="a file for the table, as well")
    flags = parser.parse_args()
    flags.links = flags.links.split(",")
    for link in flags.links:
        with contextlib.suppress(ValueError):
            if link == "local" or float(link) > 0:
                continue
        parser.error(f"--links: found {link}, expected a rate in Gbit/s or local")
    if bad := [text for text in flags.set if "=" not in text]:
        parser.error(f"--set={bad[0]}: is not PATH=VALUE")
    if min(flags.batch, flags.steps, flags.rounds) < 1:
        parser.error("--batch, --steps and --rounds are at least 1")
    namespaces = any(link != "local" for link in flags.links)
    if namespaces:
        harness.enter_namespaces("--links=local")
    with harness.cleaned_up():
        if namespaces:
            harness.need(shutil.which("tc") or "tc", "apt-get install iproute2")
        if flags.peer:
            harness.need(flags.python, "run bench/setup_peer.sh, or name another with --python, or --peer=0")
        facts = harness.machine()
        links = Links(flags)
        rounds = []
        try:
            for number in range(flags.rounds):
                print(f"round {number + 1} of {flags.rounds}", flush=True)
                rounds.append(links.measure())
        finally:
            if rounds:
                report(flags, facts, rounds)


def report(flags, facts, rounds):
    cells, rows = [], []
    steps = {key: median([r[key]["step"] for r in rounds]) for key in rounds[0]}
    for link, program in rounds[0]:
        values = {what: [r[link, program][what] for r in rounds] for what in rounds[0][link, program]}
        rows.append({"link": link, "program": program, **values})
        name = f"{link} Gbit/s (measured {median(values['gigabits']):.2f})" if "gigabits" in values else link
        step = steps[link, program]
        peer = steps.get((link, "PyTorch"))
        images = flags.batch if link == ALONE else 2 * flags.batch
        cells.append((name, program, spread(values["step"], "{:.3f}"), spread(values.get("efficiency"), "{:.0%}"),
                      spread(values.get("compute"), "{:.3f}"), spread(values.get("communication"), "{:.3f}"),
                      spread(values.get("hidden"), "{:.0%}"), f"{images / step:.1f}", f"{peer / step:.2f}x" if peer else "-"))
    text = harness.table(["link", "program", "step s", "efficiency", "compute alone s", "communication alone s", "hidden",
                          "images/s", "against PyTorch"], cells)
    print("\n" + text, flush=True)
    harness.write_json("links", flags.output, {"machine": facts, "batch": flags.batch, "precision": flags.precision,
                                               "set": flags.set, "rows": rows})
    if flags.markdown:
        harness.write(flags.markdown, "# The cost of communication over slow links\n\n" + harness.conditions(facts) +
                      "\nResNet-18 for 32x32 images, 44.7 MB of gradients, two ranks of one thread unless said otherwise; median "
                      f"(least..greatest) of {len(rounds)} rounds. `bench/links.py --help` says what the columns are.\n\n" + text)


if __name__ == "__main__":
    sys.exit(main())
