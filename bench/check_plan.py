#!/usr/bin/env python3
"""Compares `finetune plan` with runs over emulated links.

    bazel build //bench:allreduce_benchmark //src/main:finetune //data_tools:prepare_dataset
    sudo nice -n -10 bench/check_plan.py [--json=FILE] [--networks=1Gbit,10Gbit,1Gbit+1ms] [--step=false]

Makes two network namespaces that one link joins, as two hosts of one rank each. Under mpirun over TCP it measures there
all-reduces of several sizes (bench/allreduce_benchmark) and training steps. The plan gets the link's rate and latency
and, for steps, times that it measured itself on one rank. A link with only a rate is a veth pair with tc's token
bucket. A link with a latency too is a pair of TUN devices and a process between them, which forwards each packet at the
time at which a link of that rate and latency would deliver it. (tc's netem does the same, but not every kernel has it.)
"""

import argparse
import collections
import ctypes
import fcntl
import json
import os
import pathlib
import select
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
BENCHMARK = ROOT / "bazel-bin/bench/allreduce_benchmark"
FINETUNE = ROOT / "bazel-bin/src/main/finetune"
PREPARE = ROOT / "bazel-bin/data_tools/prepare_dataset"
HOSTS = (f"ftplan{os.getpid()}a", f"ftplan{os.getpid()}b")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
CLONE_NEWNET = 0x40000000
TUNSETIFF = 0x400454CA
IFF_TUN_NO_PI = 0x1001


def run(*command):
    subprocess.run([str(part) for part in command], check=True, stdout=subprocess.DEVNULL)


def bits_per_second(rate):
    return float(rate.removesuffix("Gbit")) * 1e9


def seconds(latency):
    return float(latency.removesuffix("us").removesuffix("ms")) * (1e-6 if latency.endswith("us") else 1e-3)


def emulate(hosts, rate, latency):
    """Emulates a link between a TUN device in each of two namespaces, until the process is killed. rate: bits per
    second in each direction. latency: seconds in each direction."""
    libc = ctypes.CDLL(None, use_errno=True)
    devices = []
    for host in hosts:
        with open(f"/run/netns/{host}") as namespace:
            if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"setns to {host}")
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH22x", b"fthost", IFF_TUN_NO_PI))
        devices.append(device)
    print("ready", flush=True)
    queues = {device: collections.deque() for device in devices}  # by the device that the packets go to
    free = dict.fromkeys(devices, 0.0)
    other = {devices[0]: devices[1], devices[1]: devices[0]}
    while True:
        now = time.monotonic()
        for device, queue in queues.items():
            while queue and queue[0][0] <= now:
                packet = queue.popleft()[1]
                try:
                    os.write(device, packet)
                except OSError:
                    pass  # the other end is not up yet
        due = min((queue[0][0] for queue in queues.values() if queue), default=now + 1)
        for device in select.select(devices, [], [], max(0.0, due - time.monotonic()))[0]:
            try:
                packet = os.read(device, 65536)
            except BlockingIOError:
                continue
            to = other[device]
            free[to] = max(free[to], time.monotonic()) + len(packet) * 8 / rate
            queues[to].append((free[to] + latency, packet))


class Network:
    """Two namespaces and the link between them, "1Gbit" or "1Gbit+1ms"."""

    def __init__(self, name):
        self.rate, _, self.latency = name.partition("+")
        self.emulator = None

    def __enter__(self):
        try:
            for host in HOSTS:
                run("ip", "netns", "add", host)
            if self.latency:
                self.emulator = subprocess.Popen(
                    [sys.executable, __file__, "--emulate", *HOSTS, str(bits_per_second(self.rate)),
                     str(seconds(self.latency))], stdout=subprocess.PIPE, text=True)
                if self.emulator.stdout.readline().strip() != "ready":
                    raise RuntimeError("no emulated link: is there a /dev/net/tun?")
            else:
                run("ip", "link", "add", "fthost", "netns", HOSTS[0], "type", "veth", "peer", "name", "fthost", "netns",
                    HOSTS[1])
            for host, address in zip(HOSTS, ADDRESSES):
                run("ip", "-n", host, "addr", "add", f"{address}/24", "dev", "fthost")
                run("ip", "-n", host, "link", "set", "fthost", "up", "txqueuelen", "10000", "mtu",
                    "16000" if self.latency else "1500")
                run("ip", "-n", host, "link", "set", "lo", "up")
                if not self.latency:
                    run("tc", "-n", host, "qdisc", "add", "dev", "fthost", "root", "tbf", "rate", self.rate.lower(),
                        "burst", "1mb" if bits_per_second(self.rate) > 2e9 else "256kb", "limit", "16mb")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused):
        if self.emulator is not None:
            self.emulator.kill()
            self.emulator.wait()
        for host in HOSTS:
            subprocess.run(["ip", "netns", "del", host], check=False, stderr=subprocess.DEVNULL)

    def mpirun(self, folder, *command):
        """Runs a command under mpirun, one rank on each host, and returns its output."""
        agent = folder / "agent.sh"
        # mpirun calls this script with a host and a command line. The namespace gets a host name of its own, so that
        # MPI takes it for another host.
        agent.write_text(f'#!/bin/sh\nshift\nexec ip netns exec {HOSTS[1]} unshare -u sh -c "hostname {HOSTS[1]}; $*"\n')
        agent.chmod(0o755)
        line = ["mpirun", "-np", "2", "--host", ",".join(f"{address}:1" for address in ADDRESSES), "--bind-to", "none",
                "--mca", "plm_rsh_agent", agent, "--mca", "pml", "ob1", "--mca", "btl", "tcp,self",
                "--mca", "btl_tcp_if_include", "10.77.0.0/24", "--mca", "oob_tcp_if_include", "10.77.0.0/24", *command]
        environment = dict(os.environ, OMPI_ALLOW_RUN_AS_ROOT="1", OMPI_ALLOW_RUN_AS_ROOT_CONFIRM="1")
        done = subprocess.run(
            ["ip", "netns", "exec", HOSTS[0], "unshare", "-u", "sh", "-c", f'hostname {HOSTS[0]}; exec "$@"', "sh",
             *map(str, line)], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"{line} failed:\n{done.stdout}")


def plan(link, profile, *flags):
    """Returns the plan's row for two hosts of one rank each."""
    done = subprocess.run(
        [FINETUNE, "plan", f"--config={ROOT}/configs/demo.pbtxt", "--ranks=2", "--ranks_per_host=1", "--images=2048",
         "--algorithm=ring", f"--link={link}", f"--profile={profile}", "--json", *flags],
        check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)["plans"][0]["rows"][0]


def predict_all_reduce(folder, link, latency, size):
    """Returns the plan's seconds for one all-reduce of `size` bytes: the communication of a step without computation."""
    profile = folder / "one.json"
    profile.write_text(json.dumps({
        "parameters": [size // 4], "statistics": 0, "optimizer_s": 0, "sum_bytes_per_second": 10e9,
        "passes": [{"batch": 1, "forward_s": 0, "backward_s": 0, "memory_bytes": 0, "ready_s": [0]}]}))
    # The two gathers of numbers at the end of a step are subtracted.
    return plan(link, profile)["comm_s"] - 2 * latency


def check_all_reduces(network, folder, report, name):
    rows_file = folder / "rows.json"
    with network:
        network.mpirun(folder, BENCHMARK, "--min=4096", "--max=16777216", "--seconds=0.3", f"--json={rows_file}")
    rows = [row for row in json.loads(rows_file.read_text()) if row["algorithm"] == "ring"]
    # An all-reduce of two ranks has two steps, so the smallest message gives the latency of the link and of TCP.
    latency = rows[0]["seconds"] / 2
    link = f"{network.rate},{latency * 1e6:.3f}us"
    print(f"\n{name}: latency {latency * 1e6:.0f} us from the smallest message, {network.rate} as set\n"
          f"{'bytes':>12} {'measured ms':>12} {'plan ms':>12} {'plan / measured':>16}")
    for row in rows[1:]:
        predicted = predict_all_reduce(folder, link, latency, row["bytes"])
        print(f"{row['bytes']:12d} {row['seconds'] * 1e3:12.3f} {predicted * 1e3:12.3f} "
              f"{predicted / row['seconds']:16.2f}")
        report.append({"network": name, "what": "all-reduce", "bytes": row["bytes"], "measured_s": row["seconds"],
                       "plan_s": predicted, "latency_s": latency})
    return link


STEP = ["--set=model.backbone.resnet.base_channels=32", "--set=data.train.total_batch_size=16",
        "--set=runtime.threads=1"]


def iteration_times(work_dir):
    """Returns the seconds of each iteration, without the first few."""
    times = []
    for file in pathlib.Path(work_dir).glob("*.jsonl"):
        for line in file.read_text().splitlines():
            record = json.loads(line)
            if record.get("mode") == "train":
                times.append(record["time"] - record["data_time"])
    return times[4:]


def check_step(network, folder, report, name, link):
    """Compares training steps over the link with the plan."""
    data = folder / "data"
    if not data.exists():
        run(PREPARE, "synthetic", f"--output={data}")
    flags = [*STEP, f"--set=data.train.path={data}", f"--set=data.val.path={data}", "--set=schedule.base_batch_size=16",
             "--set=schedule.val_interval_epochs=0", "--set=runtime.log_interval=1", "--set=runtime.tensorboard=false",
             "--overwrite", "--max_iterations=44"]
    profile = folder / "step.json"
    # Two processes measure at the same time, because the two ranks will share this machine's cores and caches.
    other = subprocess.Popen([FINETUNE, "plan", f"--config={ROOT}/configs/demo.pbtxt", "--ranks=2", "--measure=1000",
                              "--ranks_per_host=1", "--images=2048", *STEP], stdout=subprocess.DEVNULL)
    run(
        FINETUNE, "plan", f"--config={ROOT}/configs/demo.pbtxt", "--ranks=2", "--measure=20", "--ranks_per_host=1",
        "--images=2048", "--force", f"--save_profile={profile}", *STEP)
    other.kill()
    other.wait()
    row = plan(link, profile, *STEP)
    with network:
        network.mpirun(folder, FINETUNE, f"--config={ROOT}/configs/demo.pbtxt", f"--work_dir={folder}/run", *flags)
    measured = statistics.median(iteration_times(folder / "run"))
    print(f"{name}: a step of 8 images a rank: measured {measured * 1e3:.1f} ms, plan {row['step_s'] * 1e3:.1f} ms "
          f"(computing {row['compute_s'] * 1e3:.1f}, waiting for sums {row['exposed_s'] * 1e3:.1f} of "
          f"{row['comm_s'] * 1e3:.1f}), plan / measured {row['step_s'] / measured:.2f}")
    report.append({"network": name, "what": "step", "measured_s": measured, "plan": row})
    shutil.rmtree(folder / "run")


def main():
    if len(sys.argv) == 6 and sys.argv[1] == "--emulate":
        return emulate(sys.argv[2:4], float(sys.argv[4]), float(sys.argv[5]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--networks", default="1Gbit,10Gbit,1Gbit+1ms",
                        help="RATE or RATE+LATENCY, as in 1Gbit+1ms; separated by commas")
    parser.add_argument("--step", choices=("true", "false"), default="true", help="train as well")
    parser.add_argument("--json", help="where to write the figures")
    flags = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("network namespaces need root")
    for program in (BENCHMARK, FINETUNE, PREPARE):
        if not program.exists():
            parser.error(f"{program} is not built; the first lines of --help say how")
    # SIGTERM ends the script in the ordinary way, so that it removes its namespaces.
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(1))
    report = []
    print(f"{socket.gethostname()}: {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")
    with tempfile.TemporaryDirectory() as folder:
        for name in flags.networks.split(","):
            link = check_all_reduces(Network(name), pathlib.Path(folder), report, name)
            if flags.step == "true":
                check_step(Network(name), pathlib.Path(folder), report, name, link)
    print(f"load at the end {os.getloadavg()[0]:.1f}")
    if flags.json:
        pathlib.Path(flags.json).write_text(json.dumps(report, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
