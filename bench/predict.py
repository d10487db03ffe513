#!/usr/bin/env python3
"""Measures how fast finetune answers for images, beside onnxruntime and OpenVINO with the ONNX file that it exports.

  bench/predict.py [--images=512] [--seconds=10] [--rounds=3] [--rows=NAME,NAME]

One command, on an idle machine, prints all rows side by side. Each round measures every row once, so that a time in which
the machine is slower affects all rows. Prints the median over the rounds with the least and the greatest value, and what
finetune must reach beside it. Weights are random: they change no speed.

  resnet50-fp32, resnet50-bf16, lite0-fp32, lite0-bf16
                images a second of ResNet-50 and EfficientNet-Lite0 at 224x224 from decoded images, batch 32, 2 threads:
                `finetune evaluate` on stored pixels, and each peer on an array in memory. A peer's figure is that of the better
                of its modes: onnxruntime's sequential one, OpenVINO's hints LATENCY (one request) and THROUGHPUT (requests in
                parallel). onnxruntime has no bfloat16 for CPUs
  latency       ResNet-50, one image at a time, 1 thread, float32: milliseconds, median and 99th percentile. finetune's are the
                times between the lines of `finetune predict --batch_size=1` for PPM files, which need no decoding; so reading
                a file and printing a line are in them
  jpeg-csv      `finetune predict --format=csv` from JPEG files of 500x375, ResNet-50 in float32, 2 threads, as a share of the
                rate that decoding alone and inference alone allow together: 1 / (1 / decoding + 1 / inference)
  start         seconds from starting `finetune predict` to its first line, for one image; the checkpoint of ResNet-50 is in the
                page cache

`--bin`: the folder of the built programs instead of bazel-bin. Wants bench/setup_peer.sh and `bazel build
//bench:device_pipeline_alone //data_tools:prepare_dataset //src/main:finetune`. The first run fetches onnxruntime and OpenVINO
(bench/predict-requirements.txt) from PyPI into ~/.cache/finetune/peers/predict.
"""
import argparse
import importlib.metadata
import json
import os
import pathlib
import shutil
import subprocess
import sys
import time

import decode
import harness
from harness import ROOT, Failed, median, need

PACKAGES = pathlib.Path(os.environ.get("FINETUNE_CACHE", pathlib.Path.home() / ".cache/finetune")) / "peers/predict"
BATCH, THREADS, SIZE, CLASSES = 32, 2, 224, 10
BACKBONES = {"resnet50": "resnet { depth: 50 }", "lite0": "efficientnet_lite {}"}
PRECISIONS = {"fp32": "FLOAT32", "bf16": "BFLOAT16"}
# For each row of images a second, how many times as fast as the best peer finetune must be.
LEAST = {"resnet50-fp32": 1.25, "resnet50-bf16": 1.15, "lite0-fp32": 1.2, "lite0-bf16": 1.2}
# The peers of each precision.
PEERS = {"fp32": ("onnxruntime", "openvino"), "bf16": ("openvino",)}
MOST_OF_LATENCY, LEAST_OF_PARTS, MOST_START = 0.8, 0.9, 0.5
NORMALIZE = "pipeline { normalize { preset: IMAGENET } }"
# Steps of training and of validation, by how the images are stored.
STEPS = {"pixels": ("", ""),
         "encoded": ("pipeline { random_resized_crop { size: 224 antialias: true } }",
                     "pipeline { resize_edge { size: 256 antialias: true } } pipeline { center_crop { size: 224 } }")}
CONFIG = """
name: "predict"
model {{ backbone {{ {backbone} }} head {{ num_classes: {classes} topk: 1 }} }}
data {{
  train {{ path: "{path}" split: "train" total_batch_size: 4 {train} {normalize} }}
  val {{ path: "{path}" split: "test" total_batch_size: {batch} workers: {threads} prefetch: 4 {val} {normalize} }}
}}
optimizer {{ sgd {{ lr: 0.0001 }} }}
schedule {{ max_epochs: 1 constant {{}} base_batch_size: 4 }}
runtime {{ threads: {threads} tensorboard: false }}
"""


class Program:
    """finetune, and the checkpoints and files that the rows need."""

    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.finetune = need(options.bin / "src/main/finetune", "bazel build //src/main:finetune")
        self.prepare = need(options.bin / "data_tools/prepare_dataset", "bazel build //data_tools:prepare_dataset")
        self.alone = need(options.bin / "bench/device_pipeline_alone", "bazel build //bench:device_pipeline_alone")
        self.images = folder / "images"

    def make_data(self):
        """Makes JPEGs, the two data sets, and PPM files of 224x224 pixels."""
        from PIL import Image
        decode.make_images(self.images, 2 * self.options.images)
        for name, store in (("pixels", ["--store=raw", f"--size={SIZE}"]), ("encoded", ["--store=encoded"])):
            harness.run([self.prepare, "image_folder", f"--input={self.images}", f"--output={self.folder / name}",
                         "--val_fraction=0.5", *store], self.folder / "convert.log")
        (self.folder / "ppm").mkdir()
        for path in decode.files_of(self.images)[:self.options.requests]:
            Image.open(path).resize((SIZE, SIZE)).save(self.folder / "ppm" / f"{path.stem}.ppm")

    def checkpoint(self, network, data):
        """Returns a checkpoint of the network that was trained for one iteration on the data set `data`."""
        work_dir = self.folder / f"{network}-{data}"
        if not work_dir.exists():
            config = self.folder / f"{network}-{data}.pbtxt"
            train, val = STEPS[data]
            config.write_text(CONFIG.format(backbone=BACKBONES[network], classes=CLASSES, path=self.folder / data, batch=BATCH,
                                            threads=THREADS, train=train, val=val, normalize=NORMALIZE))
            harness.run([self.finetune, f"--config={config}", f"--work_dir={work_dir}", "--max_iterations=1", "--quiet"],
                        self.folder / "train.log")
        return work_dir / "latest.pth"

    def onnx(self, network):
        path = self.folder / f"{network}.onnx"
        if not path.exists():
            harness.run([self.finetune, "export", f"--checkpoint={self.checkpoint(network, 'pixels')}", f"--to={path}",
                         "--fold_batch_norm"], self.folder / "export.log")
        return path

    def evaluate(self, network, precision):
        """Returns the images a second of finetune evaluate."""
        output = harness.run([self.finetune, "evaluate", f"--checkpoint={self.checkpoint(network, 'pixels')}",
                              f"--set=runtime.precision={PRECISIONS[precision]}"], self.folder / "evaluate.log")
        line = next((line for line in output.splitlines() if line.endswith(" images/s)")), None)
        if line is None:
            raise Failed(f"finetune evaluate printed no images/s:\n{output}")
        return float(line.rsplit("(", 1)[1].split()[0])

    def predict(self, data, paths, *flags):
        """Runs finetune predict. Returns the time of its start, and the times at which its lines came."""
        command = [self.finetune, "predict", f"--checkpoint={self.checkpoint('resnet50', data)}",
                   "--set=runtime.precision=FLOAT32", *flags, *paths]
        start = time.monotonic()
        with open(self.folder / "predict.log", "wb") as log, \
             subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, stderr=log, cwd=ROOT) as process:
            times = [time.monotonic() for _ in process.stdout]
        if process.returncode != 0:
            raise Failed(f"exit code {process.returncode} of finetune predict: {(self.folder / 'predict.log').read_text()}")
        return start, times

    def latencies(self):
        """Returns the milliseconds between the lines for one image each."""
        _, times = self.predict("pixels", [self.folder / "ppm"], "--batch_size=1", "--set=runtime.threads=1",
                                "--set=data.val.workers=1")
        return [1000 * (after - before) for before, after in zip(times[self.options.warm_up:], times[self.options.warm_up + 1:])]

    def start(self):
        first = decode.files_of(self.images)[0]
        start, times = self.predict("encoded", [first])
        return times[0] - start

    def jpegs(self):
        """Returns the images a second from JPEG files to CSV, after the first batch."""
        _, times = self.predict("encoded", [self.images], "--format=csv", f"--batch_size={BATCH}")
        # The first line is the header.
        rows = times[1:]
        return (len(rows) - BATCH) / (rows[-1] - rows[BATCH - 1])

    def decoding(self):
        """Returns the images a second that the loader decodes, resizes and crops, without a network."""
        config = self.folder / "decoding.pbtxt"
        _, val = STEPS["encoded"]
        config.write_text(f'data {{ train {{ path: "{self.folder / "encoded"}" split: "train" total_batch_size: {BATCH} '
                          f'workers: {THREADS} prefetch: 4 {val} {NORMALIZE} }} }} runtime {{ precision: FLOAT32 }}')
        harness.run([self.alone, f"--config={config}", "--device=cpu", f"--seconds={self.options.seconds}",
                     f"--json={self.folder / 'rate.json'}"], self.folder / "decoding.log")
        return json.loads((self.folder / "rate.json").read_text())["images_per_s"]["read"]


def rate_of(work, images, seconds):
    """Calls work(), which answers for `images` images, for about `seconds`. Returns the images a second."""
    work()
    done, start = 0, time.monotonic()
    while time.monotonic() < start + seconds:
        work()
        done += images
    return done / (time.monotonic() - start)


def latencies_of(work, count):
    for _ in range(10):
        work()
    times = []
    for _ in range(count):
        start = time.monotonic()
        work()
        times.append(1000 * (time.monotonic() - start))
    return times


def onnxruntime_session(model, threads):
    import onnxruntime
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads, settings.inter_op_num_threads = threads, 1
    return onnxruntime.InferenceSession(model, settings, providers=["CPUExecutionProvider"])


def openvino_model(model, threads, precision, hint, batch):
    import openvino
    core = openvino.Core()
    network = core.read_model(model)
    network.reshape([batch, 3, SIZE, SIZE])
    return core.compile_model(network, "CPU", {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": hint,
                                               "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision]})


def peer(options):
    """Runs in a process of its own, started as `predict.py --peer=...`. Prints the images a second, or with --requests the
    milliseconds of each request of one image by one thread."""
    import numpy
    batch = 1 if options.requests else BATCH
    threads = 1 if options.requests else THREADS
    images = numpy.random.default_rng(0).standard_normal((batch, 3, SIZE, SIZE), dtype=numpy.float32)

    def measure(work):
        return latencies_of(work, options.requests) if options.requests else rate_of(work, batch, options.seconds)

    if options.peer == "onnxruntime":
        session = onnxruntime_session(options.model, threads)
        name = session.get_inputs()[0].name
        print(json.dumps(measure(lambda: session.run(None, {name: images}))))
        return
    import openvino
    compiled = openvino_model(options.model, threads, options.precision, "LATENCY", batch)
    request = compiled.create_infer_request()
    result = measure(lambda: request.infer([images]))
    if not options.requests:
        queue = openvino.AsyncInferQueue(openvino_model(options.model, threads, options.precision, "THROUGHPUT", batch))
        parallel = len(queue)

        def work():
            for _ in range(parallel):
                queue.start_async([images])
            queue.wait_all()
        result = max(result, rate_of(work, batch * parallel, options.seconds))
    print(json.dumps(result))


def measure_peer(name, model, options, logs, *, precision="fp32", requests=0):
    """Returns what the peer prints; None where it cannot run."""
    log = logs / f"{name}.log"
    try:
        text = harness.run([sys.executable, __file__, f"--peer={name}", f"--model={model}", f"--precision={precision}",
                            f"--seconds={options.seconds}", f"--requests={requests}"], log, env={"PYTHONPATH": str(PACKAGES)})
        return json.loads(text.splitlines()[-1])
    except (Failed, ValueError, IndexError):
        print(f"{name} does not run here; the end of {log}:", *log.read_text(errors="replace").splitlines()[-1:], file=sys.stderr)
        return None


def fetch_packages(log):
    """Installs bench/predict-requirements.txt beside the Python that runs this script."""
    wanted = ROOT / "bench/predict-requirements.txt"
    done = PACKAGES / ".done"
    if done.exists() and done.read_text() == wanted.read_text():
        return
    print(f"fetching onnxruntime and OpenVINO into {PACKAGES}", file=sys.stderr)
    shutil.rmtree(PACKAGES, ignore_errors=True)
    harness.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-compile", "--only-binary=:all:",
                 "--target", PACKAGES, "-r", wanted], log)
    done.write_text(wanted.read_text())


def versions():
    found = {one.metadata["Name"].lower(): one.version for one in importlib.metadata.distributions(path=[str(PACKAGES)])}
    return ", ".join(f"{name} {found[name]}" for name in ("onnxruntime", "openvino") if name in found)


def percentile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def reached(good, text):
    return f"{'reached' if good else 'NOT reached'}: {text}"


def report(rates):
    """Returns the rows of the table. rates: by row and program, the figures of all rounds."""
    rows = []
    for name, programs in rates.items():
        own = programs.pop("finetune", [])
        peers = {peer: values for peer, values in programs.items() if values}
        if name in LEAST and own:
            rows.append((name, harness.spread(own, "{:.1f}"), "images/s", ""))
            best = max((median(values) for values in peers.values()), default=None)
            for peer, values in peers.items():
                times = median(own) / median(values)
                rows.append(("", harness.spread(values, "{:.1f}"), f"{peer}; finetune is {times:.2f} times as fast",
                             reached(times >= LEAST[name], f"{LEAST[name]:g} times") if median(values) == best else ""))
        elif name == "latency" and own:
            # The figures of a round are (median, 99th percentile).
            for at, what in enumerate(("median", "99th percentile")):
                mine = [figures[at] for figures in own]
                rows.append((f"latency, {what}", harness.spread(mine, "{:.2f}"), "ms", ""))
                best = min((median([figures[at] for figures in values]) for values in peers.values()), default=None)
                for peer, values in peers.items():
                    theirs = [figures[at] for figures in values]
                    share = median(mine) / median(theirs)
                    rows.append(("", harness.spread(theirs, "{:.2f}"), f"{peer}; finetune takes {share:.2f} times as long",
                                 reached(share <= MOST_OF_LATENCY, f"at most {MOST_OF_LATENCY:g} times")
                                 if median(theirs) == best else ""))
        elif name == "jpeg-csv" and own:
            share = median(own)
            rows.append((name, harness.spread(own, "{:.2f}"), "of what decoding and inference alone allow",
                         reached(share >= LEAST_OF_PARTS, f"{LEAST_OF_PARTS:g}")))
        elif name == "start" and own:
            rows.append((name, harness.spread(own, "{:.2f}"), "s", reached(median(own) <= MOST_START, f"at most {MOST_START:g} s")))
    return rows


def main():
    decode.find_python()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=512, help="images of finetune evaluate; predict has twice as many files")
    parser.add_argument("--seconds", type=float, default=10, help="of each measurement of a peer, and of decoding alone")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--requests", type=int, default=300, help="images of the row latency")
    parser.add_argument("--warm_up", type=int, default=10, help="images that the row latency leaves out")
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "bazel-bin")
    parser.add_argument("--rows", type=lambda text: text.split(","))
    parser.add_argument("--output", type=pathlib.Path, help="the file of all figures (default: bench/results/predict_TIME.json)")
    parser.add_argument("--peer", choices=PEERS["fp32"], help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    parser.add_argument("--precision", choices=PRECISIONS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        peer(options)
        return
    names = [*LEAST, "latency", "jpeg-csv", "start"]
    wanted = options.rows or names
    if unknown := set(wanted) - set(names):
        raise Failed(f"--rows: found {', '.join(sorted(unknown))}; expected some of {', '.join(names)}")
    if options.images < BATCH or options.requests <= options.warm_up + 1:
        raise Failed(f"expected --images of at least {BATCH}, and more --requests than --warm_up and one")

    folder = harness.temporary_folder()
    program = Program(options, folder)
    facts = harness.machine()
    fetch_packages(folder / "pip.log")
    print(versions())
    print(f"{options.images} images, {options.rounds} rounds of {options.seconds:g} s a peer", flush=True)
    program.make_data()

    def percentiles(values):
        return None if values is None else (median(values), percentile(values, 0.99))

    measures = {}  # by (row, program): returns a figure, or None where the program does not run here
    for row in LEAST:
        network, precision = row.split("-")
        measures[row, "finetune"] = lambda network=network, precision=precision: program.evaluate(network, precision)
        for name in PEERS[precision]:
            measures[row, name] = lambda network=network, precision=precision, name=name: measure_peer(
                name, program.onnx(network), options, folder, precision=precision)
    measures["latency", "finetune"] = lambda: percentiles(program.latencies())
    for name in PEERS["fp32"]:
        measures["latency", name] = lambda name=name: percentiles(measure_peer(
            name, program.onnx("resnet50"), options, folder, requests=options.requests))

    def share_of_parts():
        together = 1 / (1 / program.decoding() + 1 / program.evaluate("resnet50", "fp32"))
        return program.jpegs() / together
    measures["jpeg-csv", "finetune"] = share_of_parts
    measures["start", "finetune"] = program.start

    rates = {row: {} for row in wanted}
    for number in range(options.rounds):
        for (row, name), measure in measures.items():
            if row not in rates:
                continue
            print(f"round {number + 1}: {row}, {name}", file=sys.stderr)
            figure = measure()
            rates[row].setdefault(name, [])
            if figure is not None:
                rates[row][name].append(figure)
    harness.write_json("predict", options.output, {"machine": facts, "versions": versions(), "figures": rates})
    print(harness.table(("", "", "", "must be"), report(rates)))


if __name__ == "__main__":
    with harness.cleaned_up():
        main()
