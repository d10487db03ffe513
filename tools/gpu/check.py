"""Runs the stages of check.sh. See check.sh and docs/gpu.md.

Stages run one after another, each with its own time limit. A stage that exceeds it is killed, and its results so far
are kept. The machine may be taken away at any moment, so results.json is replaced as a whole after every result.
"""
import argparse
import contextlib
import gzip
import importlib.util
import json
import os
import pathlib
import platform
import shlex
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time

import results

KIT = pathlib.Path(__file__).resolve().parent
# The time limit of each stage in seconds. The first stage reads gigabytes of libraries from a disk that may be cold.
LIMITS = {"machine": 40, "first_step": 75, "tests": 110, "speed": 195, "pipeline": 25, "trace": 35, "sanitizer": 40,
          "training": 60}
# Stages that can use any amount of time. They also get the seconds that earlier stages did not use.
STRETCHED = ("speed", "training")
# The time limit of all stages together in seconds. The rest of ten minutes is for killing a program that does not end
# by itself.
TOTAL = 580
# The most characters of a program's output in check.log. Of longer output only the beginning and the end are kept.
LOGGED = 400_000
# The jobs as (frozen_stages, batch), the most important first.
JOBS = [(2, 32), (2, 128), (-1, 32), (2, 256), (-1, 128), (-1, 256)]
# PyTorch's modes, with the one that is probably the fastest first. A machine for rehearsals may lack a compiler and
# bfloat16.
PEER_MODES = ["bf16_cl_graphs", "bf16_cl_compile", "bf16_cl"]
REHEARSED_PEER_MODES = ["fp32_cl"]


class Stop(Exception):
    """Ends a stage. Its text becomes the stage's result line."""


class Overran(Stop):
    """The stage has used all its time."""


def newer(have, need):
    """Returns whether version `have` is at least `need`."""
    def numbers(text):
        return [int(part) for part in text.split(".")]
    return numbers(have) >= numbers(need)


def say(text):
    print(text, flush=True)


def shortened(output, most=LOGGED):
    """Returns the beginning and the end of a program's output."""
    if len(output) <= most:
        return output
    return f"{output[:most // 2]}\n[... {len(output) - most // 2 * 2} characters left out ...]\n{output[-(most // 2):]}"


class Results:
    """Writes results.json and check.log."""

    def __init__(self, folder, facts):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.log = open(self.folder / "check.log", "a", encoding="utf-8", errors="replace")
        self.all = {"facts": facts, "stages": [], "targets": []}

    def write(self):
        path = self.folder / "results.json"
        temporary = path.with_name(".results.json")
        temporary.write_text(json.dumps(self.all, indent=1) + "\n")
        os.replace(temporary, path)


class Stage:
    """One stage. Runs programs within its time limit and keeps their results."""

    def __init__(self, name, limit, check):
        self.name, self.limit, self.check = name, limit, check
        self.begin = time.monotonic()
        self.record = {"name": name, "state": "running", "line": "", "limit_s": round(limit, 1), "seconds": 0, "figures": {}}

    def left(self):
        return self.limit - (time.monotonic() - self.begin)

    def keep(self, **figures):
        self.record["figures"].update(figures)
        self.check.results.write()

    def run(self, command, seconds=None, env=None):
        """Runs a program to its end and returns (exit code, output). If the time is over, kills it with all that it has
        started and raises Overran."""
        command = [str(word) for word in command]
        limit = min(self.left(), seconds or self.left())
        log = self.check.results.log
        log.write(f"\n$ {' '.join(command)}\n")
        log.flush()
        if limit <= 0:
            raise Overran(f"no time was left for {pathlib.Path(command[0]).name}")
        with tempfile.TemporaryFile() as out:
            try:
                process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, cwd=KIT,
                                           env={**self.check.environment, **(env or {})}, start_new_session=True)
            except OSError as error:
                log.write(f"cannot run: {error.strerror}\n")
                raise Stop(f"cannot run {command[0]}: {error.strerror}") from error
            try:
                process.wait(limit)
                overran = False
            except subprocess.TimeoutExpired:
                overran = True
            finally:
                end_group(process)
            out.seek(0)
            output = out.read().decode(errors="replace")
        log.write(shortened(output) + ("" if output.endswith("\n") else "\n"))
        log.write(f"= {'killed after its %.0f s' % limit if overran else 'exit code %d' % process.returncode}\n")
        log.flush()
        if overran:
            raise Overran(f"{pathlib.Path(command[0]).name} was killed after {limit:.0f} s; it had said: {last_line(output)}")
        return process.returncode, output

    def succeed(self, command, seconds=None, env=None):
        """The same as run(), but raises Stop if the program does not exit with 0."""
        code, output = self.run(command, seconds, env)
        if code != 0:
            raise Stop(f"exit code {code} of {pathlib.Path(str(command[0])).name}: {last_line(output)}")
        return output


def end_group(process):
    """Ends a program and all processes that it has started."""
    for number, seconds in ((signal.SIGTERM, 2), (signal.SIGKILL, 10)):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(seconds)


def last_line(output):
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else "nothing"


def torch_folder():
    return pathlib.Path(list(importlib.util.find_spec("torch").submodule_search_locations)[0])


def library_folders(torch):
    """Returns the folders with the libraries of PyTorch and of NVIDIA's wheels."""
    return [torch / "lib", *sorted(torch.parent.glob("nvidia/*/lib")), *sorted(torch.parent.glob("cusparselt*/lib"))]


def compiler_libraries(needed, carried):
    """Returns [carried] if the machine's own libstdc++ is older than `needed`, else []. `carried`: the folder with the
    compiler's libraries in the packed folder."""
    for folder in ("/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib64"):
        path = pathlib.Path(folder) / "libstdc++.so.6"
        if path.exists():
            data = path.read_bytes()
            return [] if f"GLIBCXX_{needed}".encode() in data else [carried]
    return [carried]


def unpack(archive, folder):
    """Unpacks a .tar.xz. Where this Python supports it, refuses links and devices that lead out of the folder."""
    with tarfile.open(archive) as packed:
        packed.extractall(folder, **({"filter": "data"} if hasattr(tarfile, "data_filter") else {}))


class Check:
    def __init__(self, flags):
        self.flags = flags
        self.kit = json.loads((KIT / "kit.json").read_text())
        self.torch = torch_folder()
        self.scratch = pathlib.Path(tempfile.mkdtemp(prefix="finetune_check_"))
        self.root = self.unpacked_programs()
        self.environment = self.make_environment()
        self.programs_can_run()
        facts = {"kit": self.kit, "python": platform.python_version(), "torch_folder": str(self.torch),
                 "glibc": os.confstr("CS_GNU_LIBC_VERSION").split()[-1], "began": time.strftime("%Y-%m-%d %H:%M:%S"),
                 "rehearsal": flags.rehearse}
        self.results = Results(flags.results, facts)
        self.data = self.scratch / "data"
        self.figures = {}  # the results of the stage speed, by job and program
        self.prepared = None  # images per second that the device pipeline prepares
        self.warming = None
        self.unfit = False  # whether no program can run on this machine

    def make_environment(self):
        folders = [*library_folders(self.torch), *compiler_libraries(self.kit["glibcxx"], self.root / "lib/compiler")]
        earlier = os.environ.get("LD_LIBRARY_PATH")
        mpi = self.root / "mpi"
        return {**os.environ,
                "LD_LIBRARY_PATH": ":".join([*map(str, folders), *([earlier] if earlier else [])]),
                "FINETUNE_TEST_DEVICE": "cpu" if self.flags.rehearse else "cuda",
                # Tells Open MPI where it is. Without these variables it looks in the folders for which it was built.
                "OPAL_PREFIX": str(mpi), "OPAL_BINDIR": str(mpi / "bin"), "OPAL_LIBDIR": str(mpi / "lib"),
                "OPAL_PKGLIBDIR": str(mpi / "plugins"), "OPAL_PKGDATADIR": str(mpi / "share/openmpi"),
                "OPAL_SYSCONFDIR": str(mpi / "share"),
                # All ranks run on this machine, so Open MPI needs no ssh. Some of PMIx's plugins are missing, which is
                # not worth a warning.
                "OMPI_MCA_plm": "isolated", "PMIX_MCA_pcompress_base_silence_warning": "1",
                # A container may forbid ranks to read each other's memory.
                "OMPI_MCA_btl_vader_single_copy_mechanism": "none",
                "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
                "TORCHINDUCTOR_CACHE_DIR": str(self.scratch / "inductor"), "TEST_TMPDIR": str(self.scratch),
                "HOME": os.environ.get("HOME", str(self.scratch)), "PYTHONUNBUFFERED": "1"}

    def unpacked_programs(self):
        """Returns the folder with bin, lib and mpi. pack.sh packs these, because unpacked they take 100 MiB."""
        archive = KIT / "programs.tar.xz"
        if not archive.exists():
            return KIT
        unpack(archive, self.scratch / "programs")
        return self.scratch / "programs"

    def programs_can_run(self):
        """Checks that the programs may be executed. Copying the folder may have removed that permission."""
        for path in [*(self.root / "bin").iterdir(), self.root / "mpi/bin/mpirun"]:
            if path.is_file() and not os.access(path, os.X_OK):
                with contextlib.suppress(OSError):
                    path.chmod(0o755)

    # The differences of a rehearsal on a machine without a GPU: the device, and small networks and images.
    def device(self):
        return "CPU" if self.flags.rehearse else "CUDA"

    def settings(self, frozen_stages, batch, **more):
        small = {"model.backbone.resnet.depth": 18, "model.backbone.resnet.base_channels": 4,
                 "data.train.pipeline[2].resize.size": 32, "data.val.pipeline[0].resize.size": 32} if self.flags.rehearse else {}
        return {"data.train.path": self.data, "data.val.path": self.data, "data.train.total_batch_size": batch,
                "data.val.total_batch_size": batch, "schedule.base_batch_size": batch,
                "model.backbone.frozen_stages": frozen_stages, "runtime.device": self.device(), **small,
                **{name.replace("__", "."): value for name, value in more.items()}}

    def finetune(self, work_dir, settings, *more, config="bench/resnet50_speed.pbtxt", program="finetune"):
        return [self.root / "bin" / program, f"--config={KIT / config}", f"--config_path={KIT / 'configs'}", f"--work_dir={work_dir}",
                *(f"--set={path}={value}" for path, value in settings.items()), *more]

    def train(self, stage, settings, iterations, seconds=None, config="bench/resnet50_speed.pbtxt"):
        """Trains and returns the run's records."""
        work_dir = self.scratch / "run"
        shutil.rmtree(work_dir, ignore_errors=True)
        stage.succeed(self.finetune(work_dir, settings, f"--max_iterations={iterations}", config=config), seconds)
        return read_records(work_dir)

    # The stages. Each function returns the stage's result line, or raises Stop with it.

    def machine(self, stage):
        need, have = self.kit["glibc"], os.confstr("CS_GNU_LIBC_VERSION").split()[-1]
        if not newer(have, need):
            self.unfit = True
            raise Stop(f"found glibc {have}; the packed programs need {need} or later: pack them on a system as old as this one")
        version = (self.torch / "version.py").read_text()
        torch = next((line.split("'")[1] for line in version.splitlines() if line.startswith("__version__")), "?")
        stage.keep(torch=torch, libraries=[str(folder) for folder in library_folders(self.torch)])
        if not torch.startswith(self.kit["libtorch"]):
            self.unfit = True
            raise Stop(f"found PyTorch {torch} in {self.torch}; the packed programs need {self.kit['libtorch']}")
        output = stage.succeed([self.root / "bin/finetune", "--version"])
        gpu = "a rehearsal without a GPU"
        if not self.flags.rehearse:
            try:
                gpu = last_line(stage.succeed(["nvidia-smi", "--query-gpu=name,memory.total,driver_version",
                                               "--format=csv,noheader"]))
            except Stop as stop:
                gpu = f"nvidia-smi does not name the GPU: {stop}"
        stage.keep(gpu=gpu)
        return f"{gpu}; PyTorch {torch}, glibc {have}, {os.cpu_count()} cores; {last_line(output)}"

    def first_step(self, stage):
        images = 256 if self.flags.rehearse else 16384
        stage.succeed([self.root / "bin/prepare_dataset", "synthetic", f"--output={self.data}", f"--train={images}",
                       f"--test={images // 4}"], 30)
        kept = {"runtime__log_interval": 1}
        device, losses = self.device(), {}
        for name, settings in (("cpu", {"runtime__device": "CPU", "runtime__precision": "FLOAT32"}),
                               ("float32", {"runtime__device": device, "runtime__precision": "FLOAT32"}),
                               ("bfloat16", {"runtime__device": device, "runtime__precision": "BFLOAT16"})):
            losses[name] = results.losses(self.train(stage, self.settings(2, 8, **kept, **settings), 3))
            stage.keep(losses=losses)
        same, worst = results.compare_losses(losses["cpu"], losses["float32"], 1e-3)
        near, worst16 = results.compare_losses(losses["cpu"], losses["bfloat16"], 3e-2)
        line = (f"three steps of batch 8: losses differ from the CPU's by {percent(worst)} in float32 and {percent(worst16)} in "
                f"bfloat16, at most")
        if not same or not near:
            raise Stop(f"{line}; allowed are 0.1 % and 3 %")
        return line

    def tests(self, stage):
        mpirun = [self.root / "mpi/bin/mpirun", "--oversubscribe", "--bind-to", "none", "--tag-output", "-np"]
        programs = [("device_pipeline_test", 0), ("agreement_test", 0), ("recorded_steps_test", 1), ("nccl_test", 1),
                    ("recorded_steps_test", 2), ("loss_test", 0), ("sgd_test", 0), ("adamw_test", 0),
                    ("gradient_norm_test", 0), ("mixup_test", 0), ("random_grayscale_test", 0),
                    ("create_communicator_test", 2)]
        if self.flags.rehearse:
            programs.remove(("nccl_test", 1))
        bad, passed, counts = [], 0, {}
        for program, ranks in programs:
            name = program if ranks == 0 else f"{program}, {ranks} rank{'s' if ranks > 1 else ''}"
            command = [self.root / "bin" / program] if ranks == 0 else [*mpirun, ranks, self.root / "bin" / program]
            if self.flags.rehearse and program == "agreement_test":
                command.append("--gtest_filter=*lenet*:*resnet18*")
            try:
                code, output = stage.run(command, 45)
                count = results.gtest(output, max(1, ranks))
                if not results.gtest_ok(count, code):
                    bad.append(f"{name}: {', '.join(count['failed']) or last_line(output)}")
            except Stop as stop:
                count = {"passed": 0, "failed": [str(stop)]}
                bad.append(f"{name}: {stop}")
            passed += count["passed"]
            counts[name] = count
            stage.keep(programs=counts)
        if bad:
            raise Stop(f"{passed} cases passed; {len(bad)} of {len(programs)} programs did not: {'; '.join(bad)}")
        return f"all {passed} cases of {len(programs)} programs passed"

    def warm_up(self):
        """Lets PyTorch compile its kernels for the stage speed, while other stages run that do not measure time."""
        if self.flags.rehearse or "speed" not in self.flags.stages:
            return
        def one_by_one(jobs):
            return "; ".join(shlex.join(map(str, self.peer(PEER_MODES[0], *job, 1))) for job in jobs) or ":"
        # Two compilations run at a time, in the order in which the results will be needed.
        script = f"({one_by_one(self.flags.jobs[0::2])}) & ({one_by_one(self.flags.jobs[1::2])}) & wait"
        self.warming = subprocess.Popen(["nice", "sh", "-c", script], stdout=subprocess.DEVNULL, cwd=KIT,
                                        stderr=subprocess.DEVNULL, env=self.environment, start_new_session=True)

    def end_warm_up(self):
        if self.warming is not None:
            end_group(self.warming)
            self.warming = None

    def peer(self, mode, frozen_stages, batch, steps):
        return [sys.executable, KIT / "bench/pytorch_peer.py", "--one", mode, "--device", self.device().lower(),
                "--frozen_stages", frozen_stages, "--batch", batch, "--steps", steps]

    def speed(self, stage):
        missing = []
        # First measures finetune and PyTorch's probably best mode for every job, then PyTorch's other modes for every
        # job.
        for more_modes in (False, True):
            for job in self.flags.jobs:
                self.speed_of(stage, *job, more_modes, missing)
        if not self.figures:
            raise Stop(f"nothing was measured: {'; '.join(missing)}")
        ratios = results.ratios(self.figures)
        stage.keep(ratios=ratios, missing=missing)
        parts = [f"{job}: " + ", ".join(f"{what} {row[what]['ratio']:.2f}x" for what in row) for job, row in ratios.items()]
        rest = f"; not measured: {'; '.join(missing)}" if missing else ""
        return ("beside PyTorch's best mode, " + "; ".join(parts) if parts else "no pair of figures to compare") + rest

    def speed_of(self, stage, frozen_stages, batch, more_modes, missing):
        """Measures one job by finetune and by PyTorch's probably best mode, or (more_modes) by PyTorch's other modes."""
        window = 4 if self.flags.rehearse else 20
        warm_up = 2 * window
        iterations = warm_up + (2 if self.flags.rehearse else max(2, min(5, 640 // batch))) * window
        precision = {"runtime__precision": "FLOAT32" if self.flags.rehearse else "BFLOAT16"}
        name = results.key(frozen_stages, batch)

        def ours(recorded):
            more = {"runtime__cuda_graph": "true" if recorded else "false", "runtime__log_interval": window,
                    "data__train__workers": 4}
            if not recorded and frozen_stages == 2:
                more["schedule__val_interval_iterations"] = iterations // 3
            found = self.train(stage, self.settings(frozen_stages, batch, **precision, **more), iterations, 40)
            return {"train": results.training_rate(found, warm_up), "eval": results.evaluation_rate(found),
                    "memory_mib": max((r.get("memory", 0) for r in found), default=0)}

        def theirs(mode):
            output = stage.succeed(self.peer(mode, frozen_stages, batch, 1 if self.flags.rehearse else 30), 90)
            line = results.peer(output)[-1]
            return {"train": results.spread([line["train_images_per_s"]]), "eval": results.spread([line["eval_images_per_s"]]),
                    "memory_mib": line.get("peak_gpu_mib")}

        modes = REHEARSED_PEER_MODES if self.flags.rehearse else PEER_MODES
        if more_modes:
            measures = [(f"PyTorch {mode}", lambda mode=mode: theirs(mode)) for mode in modes[1:]]
        else:
            measures = [("finetune recorded", lambda: ours(True)), (f"PyTorch {modes[0]}", lambda: theirs(modes[0])),
                        ("finetune", lambda: ours(False))]
        for program, measure in measures:
            if stage.left() < 8:
                missing.append(f"{name}, {program}: no time was left")
                continue
            try:
                figure = measure()
            except (Stop, IndexError, KeyError) as error:
                missing.append(f"{name}, {program}: {error}")
                continue
            self.figures.setdefault(name, {})[program] = figure
            stage.keep(images_per_s=self.figures)
            say(f"  {name}, {program}: {figures_line(figure)}")

    def pipeline(self, stage):
        batch = 32 if self.flags.rehearse else 256
        output = self.scratch / "pipeline.json"
        more = {"runtime__precision": "FLOAT32" if self.flags.rehearse else "BFLOAT16", "data__train__workers": 8}
        command = [self.root / "bin/device_pipeline_alone", f"--config={KIT / 'bench/resnet50_speed.pbtxt'}",
                   f"--config_path={KIT / 'configs'}", f"--device={self.device().lower()}",
                   f"--seconds={0.2 if self.flags.rehearse else 3}", f"--json={output}",
                   *(f"--set={path}={value}" for path, value in self.settings(2, batch, **more).items())]
        line = last_line(stage.succeed(command))
        figures = json.loads(output.read_text())["images_per_s"]
        self.prepared = figures["read_send_prepare"]
        stage.keep(images_per_s=figures)
        return line

    def trace(self, stage):
        trace = self.scratch / "trace.json"
        more = {"runtime__precision": "FLOAT32" if self.flags.rehearse else "BFLOAT16", "runtime__log_interval": 1000}
        command = self.finetune(self.scratch / "profiled", self.settings(2, 32, **more), "--iterations=8", f"--trace={trace}",
                                program="profile_gpu")
        stage.succeed(command)
        if self.flags.rehearse:
            raise Stop(f"skipped after the run: there was no GPU to trace ({trace.stat().st_size >> 10} KiB of the CPU's operators)")
        whole = json.loads(trace.read_text())
        events = results.last_step(results.gpu_events(whole))
        profile = results.profile(events)
        if profile is None:
            raise Stop("the trace has no whole iteration on a GPU in it")
        begin, end = events[0][2], max(start + length for _, _, start, length in events)
        step = [e for e in whole["traceEvents"] if begin <= float(e.get("ts", begin)) <= end]
        with gzip.open(self.results.folder / "step_trace.json.gz", "wt") as file:
            json.dump({**whole, "traceEvents": step}, file)
        stage.keep(**profile)
        top = ", ".join(f"{kernel['name'][:40]} {kernel['milliseconds']:.2f} ms" for kernel in profile["top"][:3])
        return (f"a step of batch 32 is {profile['milliseconds']:.2f} ms and {profile['kernels']} kernels, the GPU works in "
                f"{percent(profile['busy_share'])} of it; the longest: {top}")

    def sanitizer(self, stage):
        tool = shutil.which("compute-sanitizer") or next(
            (str(path) for path in pathlib.Path("/usr/local").glob("cuda*/bin/compute-sanitizer")), None)
        if tool is None:
            raise Stop("skipped: this machine has no compute-sanitizer")
        settings = self.settings(-1, 8, model__backbone__resnet__depth=18, model__backbone__resnet__base_channels=8,
                                 runtime__precision="FLOAT32" if self.flags.rehearse else "BFLOAT16")
        settings["data.train.pipeline[2].resize.size"] = settings["data.val.pipeline[0].resize.size"] = 64
        # Errors that CUDA's functions return are not counted: LibTorch and NCCL ask for features that a driver may
        # lack, and handle the error.
        command = [tool, "--tool", "memcheck", "--report-api-errors", "no", "--target-processes", "all", "--print-limit", "20",
                   *self.finetune(self.scratch / "sanitized", settings, "--max_iterations=2")]
        # Without caching each tensor has memory of its own, so that an access beyond its end is found.
        code, output = stage.run(command, env={"PYTORCH_NO_CUDA_MEMORY_CACHING": "1"})
        errors = results.sanitizer_errors(output)
        stage.keep(errors=errors)
        if code != 0 or errors != 0:
            raise Stop(f"{'no count of errors' if errors is None else f'{errors} errors'}, exit code {code}: {last_line(output)}")
        return "two steps of a small ResNet-18: no bad memory access"

    def training(self, stage):
        what, data, classes = self.images(stage)
        stage.keep(images=what, prepared_s=round(stage.limit - stage.left(), 1))
        small = {"model.backbone.resnet.base_channels": 4} if self.flags.rehearse else {"runtime.cuda_graph": "true"}
        settings = {"data.train.path": data, "data.val.path": data, "model.head.num_classes": classes,
                    "runtime.device": self.device(),
                    "runtime.precision": "FASTEST", "data.train.workers": 8, "data.val.workers": 8,
                    "data.train.total_batch_size": 128, "data.val.total_batch_size": 512,
                    "schedule.max_epochs": 1 if self.flags.rehearse else 12, "schedule.cosine": "{}",
                    "schedule.warmup.iterations": 100, "schedule.warmup.start_factor": 0.1,
                    "optimizer.sgd.weight_decay": 0.0005, "runtime.checkpoint.interval_epochs": 0, **small}
        work_dir = self.scratch / "trained"
        overran = None
        begin = time.monotonic()
        try:
            stage.succeed(self.finetune(work_dir, settings, config="configs/resnet18_cifar10_scratch.pbtxt"))
        except Overran as over:
            overran = over
        found = results.accuracy(read_records(work_dir))
        if found is None:
            raise overran or Stop("the run left no validation")
        seconds = time.monotonic() - begin
        stage.keep(top1_percent=found[0], iterations=found[1], seconds=seconds)
        line = f"ResNet-18 on {what} from random weights: {found[0]:.2f} % after {found[1]} iterations, {seconds:.0f} s"
        if overran:
            raise Overran(f"{line}, and the schedule was cut off")
        return line

    def images(self, stage):
        """Returns the data to train on: (name, data set, number of classes)."""
        packed = KIT / "data/images.tar.xz"
        if not packed.exists():
            data = self.scratch / "made_up"
            counts = (256, 64) if self.flags.rehearse else (16384, 4096)
            stage.succeed([self.root / "bin/prepare_dataset", "synthetic", f"--output={data}", f"--train={counts[0]}",
                           f"--test={counts[1]}"])
            return "made-up images (pack.sh --images=FILE packs real ones)", data, 10
        folder, data = self.scratch / "images", self.scratch / "real"
        # Unpacks in another process, so that the stage can kill it when its time is over.
        stage.succeed([sys.executable, "-B", "-c", "import check, sys; check.unpack(*sys.argv[1:])", packed, folder])
        root = folder if (folder / "train").is_dir() else next((path.parent for path in folder.glob("*/train")), folder)
        stage.succeed([self.root / "bin/prepare_dataset", "image_folder", f"--input={root}", f"--output={data}", "--size=32"])
        return "the packed images", data, sum(path.is_dir() for path in (root / "train").iterdir())

    def limit(self, name, begin):
        """Returns the time limit in seconds of a stage that begins now. `begin`: the time at which the first stage
        began."""
        left = TOTAL - (time.monotonic() - begin)
        if name not in STRETCHED:
            return min(LIMITS[name], left)
        later = self.flags.stages[self.flags.stages.index(name) + 1:]
        return min(left, max(LIMITS[name], left - sum(LIMITS[stage] for stage in later)))

    def run(self):
        begin = time.monotonic()
        say(f"kit {self.kit['commit']}, for glibc {self.kit['glibc']} and PyTorch {self.kit['libtorch']}; found glibc "
            f"{self.results.all['facts']['glibc']}, Python {platform.python_version()}, PyTorch in {self.torch}")
        try:
            for name in self.flags.stages:
                if name == "first_step":
                    self.warm_up()
                if name in ("speed", "pipeline", "trace"):
                    self.end_warm_up()
                self.run_stage(name, self.limit(name, begin))
                if self.unfit:
                    break
        finally:
            self.end_warm_up()
            self.results.all["targets"] = results.targets(self.figures, self.prepared)
            self.results.write()
            shutil.rmtree(self.scratch, ignore_errors=True)
        return all(stage["state"] in ("passed", "skipped") for stage in self.results.all["stages"])

    def run_stage(self, name, limit):
        stage = Stage(name, limit, self)
        self.results.all["stages"].append(stage.record)
        self.results.log.write(f"\n======== {name}: {limit:.0f} s at most\n")
        self.results.write()
        try:
            if limit <= 0:
                raise Overran("the check's ten minutes were over")
            state, line = "passed", getattr(self, name)(stage)
        except Overran as over:
            state, line = "overran", str(over)
        except Stop as stop:
            state, line = ("skipped" if str(stop).startswith("skipped") else "failed"), str(stop)
        except Exception as error:  # an error in this script must not prevent the later stages
            state, line = "failed", f"check.py itself: {type(error).__name__}: {error}"
        stage.record.update(state=state, line=line, seconds=round(stage.limit - stage.left(), 1))
        say(f"{name:<10} {state:<8} {stage.record['seconds']:5.1f} s  {line}")
        self.results.log.write(f"{name}: {state}: {line}\n")
        self.results.log.flush()
        self.results.all["targets"] = results.targets(self.figures, self.prepared)
        self.results.write()


def read_records(work_dir):
    found = []
    for path in sorted(pathlib.Path(work_dir).glob("*.jsonl")):
        found += results.records(path.read_text(errors="replace"))
    return found


def percent(share):
    return "nothing comparable" if share is None else f"{100 * share:.3g} %"


def figures_line(figure):
    return ", ".join(f"{what} {figure[what]['median']:.0f} images/s" for what in ("train", "eval") if figure.get(what))


def main():
    parser = argparse.ArgumentParser(prog="check.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("results", metavar="RESULTS", help="the folder for results.json, check.log and step_trace.json.gz")
    parser.add_argument("--stages", default=",".join(LIMITS), help="(default %(default)s)")
    parser.add_argument("--jobs", default=",".join(f"{frozen}:{batch}" for frozen, batch in JOBS),
                        help="of the stage speed, as FROZEN_STAGES:BATCH (default %(default)s)")
    parser.add_argument("--rehearse", action="store_true", help="without a GPU: all on the CPU, with small networks")
    flags = parser.parse_args()
    flags.stages = flags.stages.split(",")
    if unknown := set(flags.stages) - set(LIMITS):
        parser.error(f"--stages: no stage is named {', '.join(sorted(unknown))}; there are {', '.join(LIMITS)}")
    try:
        flags.jobs = [tuple(int(number) for number in job.split(":")) for job in flags.jobs.split(",")]
        if any(len(job) != 2 or job[1] < 1 for job in flags.jobs):
            raise ValueError
    except ValueError:
        parser.error("--jobs: expected FROZEN_STAGES:BATCH, as in 2:32,-1:128")
    # On SIGTERM, as on Ctrl-C, the script still completes results.json as far as it can.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    return 0 if Check(flags).run() else 1


if __name__ == "__main__":
    sys.exit(main())
