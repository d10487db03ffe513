"""Code that the benchmark scripts share: running finetune and others, cleaning up behind them, reading records, tables."""
import atexit
import contextlib
import datetime
import glob
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEFAULT_PYTHON = pathlib.Path.home() / ".cache/finetune/peer/bin/python"


class Failed(Exception):
    """An error that the reader of its text can correct."""


@contextlib.contextmanager
def cleaned_up():
    """A context in which `with` blocks and atexit handlers run however the script ends: by an error, Ctrl-C, SIGTERM or
    SIGHUP."""
    def stop(number, _):
        sys.exit(128 + number)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        signal.signal(number, stop)
    try:
        yield
    except Failed as failure:
        sys.exit(f"{pathlib.Path(sys.argv[0]).name}: {failure}")


def enter_namespaces(otherwise):
    """Starts the script again in network and mount namespaces of its own, and returns in that second process. These
    namespaces end with the script, so nothing in them is left behind. `otherwise`: the flag with which the script
    needs no namespaces, for the error."""
    inside = "FINETUNE_BENCH_INSIDE"
    if inside in os.environ:
        return
    script = pathlib.Path(sys.argv[0]).name
    if os.geteuid() != 0:
        sys.exit(f"{script}: making network namespaces needs root; {otherwise} does not")
    os.environ[inside] = "1"
    try:
        os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])
    except OSError as error:
        sys.exit(f"{script}: cannot run unshare: {error.strerror}")


def temporary_folder():
    """Returns a folder that is deleted when the script ends."""
    folder = pathlib.Path(tempfile.mkdtemp(prefix="finetune_bench_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Process:
    """A program that runs in a process group of its own and writes its output to a file. At the end of the `with` block
    it is ended together with its children."""

    def __init__(self, command, log, env=None, timeout=1200):
        self.command, self.log, self.timeout = [str(c) for c in command], pathlib.Path(log), timeout
        self.env = env

    def __enter__(self):
        self.start = time.time()
        try:
            with open(self.log, "wb") as out:
                self.popen = subprocess.Popen(self.command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
                                              env={**os.environ, **(self.env or {})}, cwd=ROOT, start_new_session=True)
        except OSError as error:
            raise Failed(f"cannot run {self.command[0]}: {error.strerror}") from error
        return self

    def __exit__(self, *_):
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.popen.poll() is not None:
                break
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.popen.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(10)

    def running(self):
        if time.time() - self.start > self.timeout:
            raise Failed(f"took more than {self.timeout} s: {' '.join(self.command)}\n{self.tail()}")
        return self.popen.poll() is None

    def wait(self):
        while self.running():
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.popen.wait(1)
        if self.popen.returncode != 0:
            raise Failed(f"exit code {self.popen.returncode} of: {' '.join(self.command)}\n{self.tail()}")

    def output(self):
        return self.log.read_text(errors="replace")

    def tail(self):
        return "".join("    " + line + "\n" for line in self.output().splitlines()[-15:])


def run(command, log, env=None, timeout=1200):
    """Runs a program to its end and returns what it printed."""
    with Process(command, log, env, timeout) as process:
        process.wait()
        return process.output()


def make_hosts(count, folder):
    """Makes network namespaces host1, host2, ..., joined by a bridge without a rate limit."""
    def sh(*command):
        run(command, folder / "sh.log", timeout=60)
    sh(ROOT / "tests/make_hosts.sh", count, folder)
    sh("ip", "link", "add", "name", "bridge", "type", "bridge")
    for i in range(count):
        sh("ip", "link", "set", "dev", f"port{i + 1}", "master", "bridge")
    sh("ip", "link", "set", "dev", "bridge", "up")


def mpirun(ranks):
    """Returns the first words of a command that runs `ranks` ranks under mpirun, and its environment variables."""
    env = {}
    if os.geteuid() == 0:
        env = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
    return ["mpirun", "-np", ranks, "--bind-to", "none", "--oversubscribe"], env


def need(path, how):
    """Returns `path`; if it does not exist, raises an error that says how to make it."""
    path = pathlib.Path(path)
    if not path.exists():
        raise Failed(f"{path} is not there: {how}")
    return path


class Records:
    """The records in the .jsonl of a run, read while the run writes them. Each record gets `arrival`, the time at which
    it was first seen."""

    def __init__(self, work_dir):
        self.work_dir, self.file, self.rest, self.records = pathlib.Path(work_dir), None, b"", []

    def read(self):
        if self.file is None:
            found = glob.glob(str(self.work_dir / "*.jsonl"))
            if not found:
                return self.records
            self.file = open(found[0], "rb")
        text = self.rest + self.file.read()
        *lines, self.rest = text.split(b"\n")
        now = time.time()
        self.records += [{**json.loads(line), "arrival": now} for line in lines if line.strip()]
        return self.records

    def close(self):
        if self.file is not None:
            self.file.close()


def finetune_command(config, work_dir, settings, extra=(), binary=None, root=ROOT):
    """Returns finetune's part of a command line. settings: {path: value}. root: the checkout that has built finetune."""
    binary = binary or need(root / "bazel-bin/src/main/finetune", "bazel build //src/main:finetune //data_tools:prepare_dataset")
    return [binary, f"--config={config}", f"--config_path={root / 'configs'}", f"--work_dir={work_dir}",
            *(f"--set={path}={value}" for path, value in settings.items()), *extra]


def train(config, folder, settings, ranks=1, iterations=None, watch=False, env=None, launcher=None, root=ROOT):
    """Trains in folder/run, which is deleted afterwards. Returns (records, time of the start, output).

    watch: looks for new records every 5 ms, so that their `arrival` is the time at which they were written.
    launcher: the words before finetune in the command; None: mpirun's.
    root: the checkout that has built finetune.
    """
    work_dir = folder / "run"
    shutil.rmtree(work_dir, ignore_errors=True)
    words, mpi_env = mpirun(ranks)
    extra = [f"--max_iterations={iterations}"] if iterations else []
    command = (launcher or words) + finetune_command(config, work_dir, settings, extra, root=root)
    records = Records(work_dir)
    try:
        with Process(command, folder / "finetune.log", {**mpi_env, **(env or {})}) as process:
            while watch and process.running():
                records.read()
                time.sleep(0.005)
            process.wait()
            return list(records.read()), process.start, process.output()
    finally:
        records.close()
        shutil.rmtree(work_dir, ignore_errors=True)


def trained(records, warm_up):
    """Returns the training records after the first `warm_up` iterations."""
    kept = [r for r in records if r["mode"] == "train" and r["iteration"] > warm_up]
    if not kept:
        raise Failed(f"finetune left no training records after iteration {warm_up}")
    return kept


def make_data(folder, train_images, test_images, root=ROOT):
    """Makes synthetic 32x32 images."""
    tool = need(root / "bazel-bin/data_tools/prepare_dataset", "bazel build //data_tools:prepare_dataset")
    run([tool, "synthetic", f"--output={folder / 'data'}", f"--train={train_images}", f"--test={test_images}"],
        folder / "data.log")
    return folder / "data"


def median(values):
    return statistics.median(values) if values else None


def spread(values, form="{:.2f}"):
    """Returns `median (least..greatest)`; "-" for no values."""
    if not values:
        return "-"
    text = form.format(median(values))
    if len(values) > 1:
        text += " (" + form.format(min(values)) + ".." + form.format(max(values)) + ")"
    return text


def table(head, rows):
    """Returns a table in Markdown."""
    cells = [[str(cell) for cell in row] for row in [head, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths)) + " |" for row in cells]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]]) + "\n"


def print_table(head, rows):
    print(table(head, rows), end="", flush=True)


def machine():
    """Returns the properties of this machine that results depend on. Prints a warning if other programs are running."""
    cpu = "unknown"
    with contextlib.suppress(OSError):
        for line in open("/proc/cpuinfo"):
            if line.startswith("model name"):
                cpu = line.split(":", 1)[1].strip()
                break
    load = os.getloadavg()[0]
    commit = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True).stdout.strip()
    facts = {"cpu": cpu, "cores": len(os.sched_getaffinity(0)), "load_at_start": load, "commit": commit,
             "date": datetime.datetime.now().isoformat(timespec="seconds")}
    print(f"{facts['cores']} cores of {cpu}, load {load:.1f}, commit {commit}")
    if load > 0.5:
        print("WARNING: other programs are running; these figures are good for trying the script only")
    sys.stdout.flush()
    return facts


def write_json(name, output, result):
    """Writes bench/results/NAME_DATE.json, or `output`; whole or not at all."""
    write(output or ROOT / "bench/results" / f"{name}_{time.strftime('%Y%m%d_%H%M%S')}.json", json.dumps(result, indent=1) + "\n")


def write(path, text):
    """Writes a file, whole or not at all."""
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text)
    temporary.rename(path)
    print(f"written: {path}")


def conditions(facts):
    """Returns one line for a report: the results of machine(), and the command that repeats the measurement."""
    return (f"{facts['date'][:10]}, {facts['cores']} cores of {facts['cpu']}, load at the start {facts['load_at_start']:.1f}, commit "
            f"{facts['commit']}: `{' '.join(['bench/' + pathlib.Path(sys.argv[0]).name, *sys.argv[1:]])}`\n")
