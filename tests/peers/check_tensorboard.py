"""Reads runs of finetune through TensorBoard's server, with and without its data server, and through EventAccumulator.

Usage: check_tensorboard.py WORK_FOLDER BAZEL_BIN (see tensorboard.sh)

Every curve must have each step exactly once, with the value that the run recorded last for it (in its .jsonl):
  - for a run that was resumed from its last checkpoint,
  - for a run that was resumed from an older checkpoint, so that it repeats steps,
  - for a run that began again (--overwrite) with fewer steps.
The image train/first_batch must be there for the first step of a run and of each continuation: the batch's 16 images in a grid
of 4x4.
"""

import glob
import io
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

import PIL.Image
from tensorboard.backend.event_processing import event_accumulator

IMAGE = "train/first_batch"
CONFIG = """
model { backbone { resnet { depth: 18 stem: CIFAR base_channels: 4 } } head { num_classes: 4 } }
data {
  train { path: "DATA" split: "train" total_batch_size: 16 pipeline { normalize {} } }
  val { path: "DATA" split: "test" total_batch_size: 16 pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.05 momentum: 0.9 } }
schedule { max_epochs: 3 constant {} }
runtime { log_interval: 1 checkpoint { keep_last: 0 } }
"""


def recorded(run):
    """Returns {curve: {step: value}} from a run's .jsonl files. A later file replaces the steps that it repeats."""
    curves = {}
    for path in sorted(glob.glob(os.path.join(run, "*.jsonl"))):
        for line in open(path):
            record = json.loads(line)
            if record["mode"] == "run":
                for curve in curves.values():
                    for step in [s for s in curve if s > record["iteration"]]:
                        del curve[step]
            elif record["mode"] == "train":
                curves.setdefault("train/loss", {})[record["iteration"]] = record["loss"]
                curves.setdefault("train/lr", {})[record["iteration"]] = record["lr"]
            elif record["mode"] == "val":
                curves.setdefault("val/loss", {})[record["iteration"]] = record["loss"]
    return curves


def first_steps(run):
    """Returns the first step of a run and of each of its continuations. A continuation replaces those after its own start."""
    steps = []
    for path in sorted(glob.glob(os.path.join(run, "*.jsonl"))):
        for line in open(path):
            record = json.loads(line)
            if record["mode"] == "run":
                steps = [s for s in steps if s <= record["iteration"]] + [record["iteration"] + 1]
    return steps


def check_grid(how, image):
    """Checks that `image` is a PNG of 16 images of 32x32 pixels in 4 rows, with lines of 2 pixels between them."""
    with PIL.Image.open(io.BytesIO(image)) as grid:
        assert grid.format == "PNG" and grid.size == (138, 138), f"{how}: found a {grid.format} of {grid.size}, expected a PNG of 138x138"
        assert len(grid.convert("RGB").getcolors(1 << 20)) > 16, f"{how}: the image is empty"


def check(how, tag, points, expected):
    """Checks one curve. points: (step, value) in the order in which TensorBoard returns them. how: how they were read."""
    steps = [step for step, _ in points]
    assert steps == sorted(expected), f"{how}: {tag} has the steps {steps}, expected {sorted(expected)}"
    for step, value in points:
        assert abs(value - expected[step]) <= 1e-6 * abs(expected[step]), (
            f"{how}: {tag} is {value} at step {step}, expected {expected[step]}")


def check_accumulator(run, curves):
    events = event_accumulator.EventAccumulator(run)
    events.Reload()
    for tag, expected in curves.items():
        check("EventAccumulator", tag, [(e.step, e.value) for e in events.Scalars(tag)], expected)
    images = events.Images(IMAGE)
    assert [image.step for image in images] == first_steps(run), f"EventAccumulator: {IMAGE} has {[image.step for image in images]}"
    for image in images:
        check_grid("EventAccumulator", image.encoded_image_string)
        assert (image.width, image.height) == (138, 138)


def check_images(how, port, run):
    """Checks the image that the server at `port` shows."""
    def get(path, **query):
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugin/images/{path}?{urllib.parse.urlencode(query)}").read()

    images = json.loads(get("images", run=".", tag=IMAGE, sample=0))
    assert [image["step"] for image in images] == first_steps(run), f"{how}: {IMAGE} has {[image['step'] for image in images]}"
    for image in images:
        check_grid(how, urllib.request.urlopen(
            f"http://127.0.0.1:{port}/data/plugin/images/individualImage?{image['query']}").read())


def check_server(run, curves, data_server):
    how = "the server " + ("with" if data_server else "without") + " its data server"
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", run, "--host", "127.0.0.1", "--port", str(port),
         "--load_fast", "true" if data_server else "false"],
        cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for tag, expected in curves.items():
            query = urllib.parse.urlencode({"run": ".", "tag": tag})
            url = f"http://127.0.0.1:{port}/data/plugin/scalars/scalars?{query}"
            deadline = time.time() + 90
            while True:  # until the server listens and has read the files
                try:
                    points = json.load(urllib.request.urlopen(url))
                    if points and points[-1][1] >= max(expected):
                        break
                except (urllib.error.URLError, ConnectionError):
                    pass
                assert server.poll() is None and time.time() < deadline, f"{how} does not show {tag}"
                time.sleep(0.2)
            check(how, tag, [(step, value) for _, step, value in points], expected)
        check_images(how, port, run)
    finally:
        server.terminate()
        server.wait()


def main():
    work, programs = (os.path.abspath(path) for path in sys.argv[1:])
    data, config = os.path.join(work, "data"), os.path.join(work, "config.pbtxt")
    subprocess.run([os.path.join(programs, "data_tools/prepare_dataset"), "synthetic", "--classes=4", "--train=72",
                    "--test=24", "--output=" + data], check=True, stdout=subprocess.DEVNULL)
    with open(config, "w") as out:
        out.write(CONFIG.replace("DATA", data))

    def train(run, *flags):
        subprocess.run([os.path.join(programs, "src/main/finetune"), "--config=" + config, "--work_dir=" + run, *flags],
                       check=True, stdout=subprocess.DEVNULL)

    for name, second in [("resumed", ["--resume=auto"]),
                         ("went back", ["--resume=" + os.path.join(work, "went back", "epoch_1.pth"),
                                        "--set=optimizer.sgd.lr=0.01"]),
                         ("began again", ["--overwrite", "--set=runtime.log_interval=3", "--max_iterations=8",
                                          "--set=optimizer.sgd.lr=0.01"])]:
        run = os.path.join(work, name)
        train(run, "--max_iterations=10")
        train(run, *second)
        curves = recorded(run)
        check_accumulator(run, curves)
        for data_server in (False, True):
            check_server(run, curves, data_server)
        print(f"a run that {name if name != 'resumed' else 'was resumed'}: "
              f"{sum(len(curve) for curve in curves.values())} points of {len(curves)} curves and "
              f"{len(first_steps(run))} images are right, in all three ways")


if __name__ == "__main__":
    main()
