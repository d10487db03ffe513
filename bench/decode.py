#!/usr/bin/env python3
"""Measures how many images per second finetune and other loaders decode and augment: JPEGs of 500x375,
RandomResizedCrop(224), flip, normalise.

  bench/decode.py [--images=2000] [--threads=2] [--seconds=10] [--rounds=3] [--data=FOLDER] [--rows=NAME,NAME]
  bench/decode.py --apart [--data=FOLDER]

One command, on an idle machine, prints all rows side by side. Each round measures every row once, so that a time in which
the machine is slower affects all rows. Each row has `threads` threads or worker processes, the same images and results of the
same size. Prints the median over the rounds with the least and the greatest value, and what finetune must reach beside it.

  bare              libjpeg-turbo decodes each file at full size, and nothing else: a bound for loaders that decode whole images
  finetune          data.train's loader on encoded shards, antialias: true
  finetune-plain    the same without antialiasing, as OpenCV resizes
  finetune-TAW      `finetune` with trivial_augment_wide before normalisation
  ImageFolder       torchvision's ImageFolder (Pillow) and v2 transforms in a DataLoader
  decode_image      torchvision.io.decode_image and v2 transforms on tensors in a DataLoader
  decode_image-TAW  the same with v2.TrivialAugmentWide
  OpenCV            cv2.imread, crop and cv2.resize in a DataLoader
  FFCV              FFCV's Loader on a .beton file that holds the JPEGs, where ffcv is installed
  DALI              NVIDIA DALI's pipeline on the CPU
  memory            not a row to choose: the peak memory of finetune's loader in MiB, without the batches and without the memory
                    used before it started
  copy, convert-headers, convert-decoding
                    seconds of copying the files, and of prepare_dataset image_folder --store=encoded, which checks the files'
                    headers or decodes all files
  train             a training step of ResNet-18 on 224x224 from encoded shards on the same cores, beside its parts alone:
                    decoding (the row `finetune`) and computing (the same step on stored pixels)

`--apart` measures no speed. It prints by how much the pixels of JPEGs that are decoded at 1/2, 1/4 or 1/8 of their size
differ from those of full decoding (data.exact_decoding), on the scale 0 to 255, for crops of several sizes, with and
without antialiasing.

`--data`: a folder with one folder for each class, instead of generated images. `--rows`: the rows to measure. `--bin`: the
folder of the built programs instead of bazel-bin. Wants bench/setup_peer.sh and `bazel build //bench:device_pipeline_alone
//data_tools:prepare_dataset //src/main:finetune`. The first run fetches OpenCV and DALI (bench/decode-requirements.txt, 270 MB)
from PyPI into ~/.cache/finetune/peers/decode. FFCV 1.0.2 is on PyPI as sources alone, whose build wants OpenCV's headers and
libturbojpeg's: it runs where somebody has installed it in the Python that runs this script.
"""
import argparse
import ctypes
import ctypes.util
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import harness
from harness import DEFAULT_PYTHON, ROOT, Failed, median, need

# For each peer, the row of finetune that makes the same images, and how many times as fast that row must be.
PEERS = {"ImageFolder": ("finetune", 3), "decode_image": ("finetune", 2), "decode_image-TAW": ("finetune-TAW", 2),
         "OpenCV": ("finetune-plain", 2), "FFCV": ("finetune", 1.2), "DALI": ("finetune", 1.2)}
OURS = ("finetune", "finetune-plain", "finetune-TAW")
# Rows of seconds, and how many times as long as the copy they may take.
SECONDS = {"copy": None, "convert-headers": 1.5, "convert-decoding": None}
LEAST_OF_BARE, MOST_MIB, LEAST_OF_PARTS = 0.85, 64, 0.95
PACKAGES = pathlib.Path(os.environ.get("FINETUNE_CACHE", pathlib.Path.home() / ".cache/finetune")) / "peers/decode"
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
CONFIG = """
data {{ train {{
  path: "{path}" split: "train" total_batch_size: {batch} workers: {threads} prefetch: 4
  pipeline {{ random_resized_crop {{ size: {size} antialias: {antialias} }} }}
  {steps}
}} }}
runtime {{ precision: FLOAT32 }}
"""
FLIP = "pipeline { random_flip {} }"
TAW = "pipeline { trivial_augment_wide {} }"
NORMALIZE = "pipeline { normalize { preset: IMAGENET } }"
TRAIN = """
model {{ backbone {{ resnet {{ depth: 18 }} }} head {{ num_classes: {classes} topk: 1 }} }}
data {{ train {{
  path: "{path}" split: "train" total_batch_size: {batch} workers: {threads} prefetch: 4 drop_last: true
  {steps}
}} }}
optimizer {{ sgd {{ lr: 0.01 momentum: 0.9 }} }}
schedule {{ max_epochs: 1000 constant {{}} }}
runtime {{ precision: FLOAT32 threads: {threads} log_interval: 1 tensorboard: false checkpoint {{ interval_epochs: 0 save_best: false }} }}
"""
TRAIN_BATCH, TRAIN_WARM_UP = 32, 3


def make_images(folder, count):
    """Makes JPEGs of 500x375 pixels and about 67 KB each: smooth colours with noise, which compress like photos."""
    import numpy
    from PIL import Image
    random = numpy.random.default_rng(0)
    for i in range(count):
        coarse = random.integers(0, 256, (12, 16, 3), dtype=numpy.uint8)
        smooth = numpy.asarray(Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC), dtype=numpy.int16)
        noisy = numpy.clip(smooth + random.normal(0, 9.5, smooth.shape), 0, 255).astype(numpy.uint8)
        place = folder / f"class_{i % 10}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(noisy).save(place / f"{i:06}.jpg", quality=90, subsampling=2)


def files_of(folder):
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        raise Failed(f"{folder} has no JPEG files")
    return files


def few_of(lists, count):
    """Returns at least `count` files where there are as many, and at least one of each list. Takes about as many of each."""
    each = -(-count // len(lists))
    return [place for files in lists for place in files[:each]]


def bare(files, threads, seconds):
    """Measures libjpeg-turbo alone. ctypes releases Python's global lock during a call, so threads decode at the same
    time."""
    name = ctypes.util.find_library("turbojpeg")
    if name is None:
        raise Failed("libturbojpeg is not installed: tools/install_dependencies.sh")
    turbo = ctypes.CDLL(name)
    turbo.tjInitDecompress.restype = ctypes.c_void_p
    contents = [p.read_bytes() for p in files]
    done, end = [0] * threads, time.monotonic() + seconds

    def work(thread):
        handle = ctypes.c_void_p(turbo.tjInitDecompress())
        pixels = ctypes.create_string_buffer(0)
        width, height, chroma = ctypes.c_int(), ctypes.c_int(), ctypes.c_int()
        at = thread
        while time.monotonic() < end:
            content = contents[at % len(contents)]
            at += threads
            turbo.tjDecompressHeader2(handle, content, ctypes.c_ulong(len(content)), ctypes.byref(width), ctypes.byref(height),
                                      ctypes.byref(chroma))
            size = 3 * width.value * height.value
            if len(pixels) < size:
                pixels = ctypes.create_string_buffer(size)
            if turbo.tjDecompress2(handle, content, ctypes.c_ulong(len(content)), pixels, width, 0, height, 0, 4096) != 0:
                return
            done[thread] += 1

    workers = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    start = time.monotonic()
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(done) / (time.monotonic() - start)


def data_loader(name, folder, threads):
    """Returns the torch.utils.data.DataLoader of one of the peers."""
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision import datasets, io as tv_io
    from torchvision.transforms import v2
    torch.set_num_threads(1)
    finish = [v2.ToDtype(torch.float32, scale=True), v2.Normalize([m / 255 for m in MEAN], [s / 255 for s in STD])]
    crop = [v2.RandomResizedCrop(224, antialias=True), v2.RandomHorizontalFlip()]
    files = [str(p) for p in files_of(folder)]

    class Files(Dataset):
        def __init__(self, load):
            self.load = load

        def __len__(self):
            return len(files)

        def __getitem__(self, index):
            return self.load(files[index]), 0

    if name == "ImageFolder":
        data = datasets.ImageFolder(folder, v2.Compose([*crop, v2.ToImage(), *finish]))
    elif name == "OpenCV":
        import cv2
        cv2.setNumThreads(1)
        steps = v2.Compose([v2.RandomHorizontalFlip(), *finish])

        def load(path):
            image = cv2.imread(path)[..., ::-1]
            top, left, height, width = v2.RandomResizedCrop(224).make_params([torch.empty(3, *image.shape[:2])]).values()
            part = cv2.resize(image[top:top + height, left:left + width], (224, 224))
            return steps(torch.from_numpy(part).permute(2, 0, 1))
        data = Files(load)
    else:
        steps = v2.Compose([*crop, *([v2.TrivialAugmentWide()] if name == "decode_image-TAW" else []), *finish])
        data = Files(lambda path: steps(tv_io.decode_image(path, tv_io.ImageReadMode.RGB)))
    return DataLoader(data, batch_size=64, shuffle=True, num_workers=threads, persistent_workers=True, prefetch_factor=4)


def ffcv_loader(folder, threads):
    import numpy
    from ffcv.fields import IntField, RGBImageField
    from ffcv.fields.rgb_image import RandomResizedCropRGBImageDecoder
    from ffcv.loader import Loader, OrderOption
    from ffcv.transforms import NormalizeImage, RandomHorizontalFlip, ToTensor, ToTorchImage
    from ffcv.writer import DatasetWriter
    from PIL import Image
    files = files_of(folder)

    class Images:
        def __len__(self):
            return len(files)

        def __getitem__(self, index):
            return Image.open(files[index]).convert("RGB"), 0

    beton = harness.temporary_folder() / "images.beton"
    # FFCV encodes the images again. The quality is that of make_images().
    writer = DatasetWriter(str(beton), {"image": RGBImageField(write_mode="jpg", jpeg_quality=90), "label": IntField()},
                           num_workers=threads)
    writer.from_indexed_dataset(Images())
    steps = [RandomResizedCropRGBImageDecoder((224, 224)), RandomHorizontalFlip(),
             NormalizeImage(numpy.array(MEAN), numpy.array(STD), numpy.float32), ToTensor(), ToTorchImage()]
    return Loader(str(beton), batch_size=64, num_workers=threads, order=OrderOption.QUASI_RANDOM, drop_last=False,
                  pipelines={"image": steps, "label": None})


def dali_loader(folder, threads):
    from nvidia.dali import fn, pipeline_def, types
    from nvidia.dali.plugin.base_iterator import LastBatchPolicy
    from nvidia.dali.plugin.pytorch import DALIGenericIterator

    @pipeline_def(batch_size=64, num_threads=threads, device_id=None, prefetch_queue_depth=4)
    def images():
        encoded, label = fn.readers.file(file_root=str(folder), random_shuffle=True, name="files")
        image = fn.decoders.image_random_crop(encoded, device="cpu", output_type=types.RGB)
        image = fn.resize(image, resize_x=224, resize_y=224, interp_type=types.INTERP_LINEAR, antialias=True)
        return fn.crop_mirror_normalize(image, dtype=types.FLOAT, output_layout="CHW", mean=list(MEAN), std=list(STD),
                                        mirror=fn.random.coin_flip()), label

    pipeline = images()
    pipeline.build()
    loader = DALIGenericIterator([pipeline], ["image", "label"], reader_name="files", auto_reset=True,
                                 last_batch_policy=LastBatchPolicy.PARTIAL)

    class Batches:
        def __iter__(self):
            return ((batch[0]["image"], batch[0]["label"]) for batch in loader)
    return Batches()


def peer(name, folder, threads, seconds):
    """Runs in a process of its own, started as `decode.py --peer=...`. Prints the images per second, or why the peer
    cannot run."""
    loader = {"FFCV": ffcv_loader, "DALI": dali_loader}.get(name, lambda *rest: data_loader(name, *rest))(folder, threads)
    for _ in loader:  # Workers start, and FFCV compiles.
        break
    done, start = 0, time.monotonic()
    while time.monotonic() < start + seconds:
        for images, _ in loader:
            done += len(images)
            if time.monotonic() >= start + seconds:
                break
    print(json.dumps(done / (time.monotonic() - start)))


def measure_peer(name, folder, options, logs):
    """Returns the peer's images per second; None where it cannot run."""
    log = logs / f"{name}.log"
    try:
        text = harness.run([sys.executable, __file__, f"--peer={name}", f"--data={folder}", f"--threads={options.threads}",
                            f"--seconds={options.seconds}"], log, env={"PYTHONPATH": str(PACKAGES)})
        return json.loads(text.splitlines()[-1])
    except (Failed, ValueError, IndexError):
        print(f"{name} does not run here; the end of {log}:", *log.read_text(errors="replace").splitlines()[-1:], file=sys.stderr)
        return None


def timed(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


def convert(prepare, images, folder, check="header", name="data", store=("--store=encoded",)):
    harness.run([prepare, "image_folder", f"--input={images}", f"--output={folder / name}", *store, "--force",
                 "--val_fraction=0", f"--check={check}"], folder / "convert.log")


def run_loader(alone, folder, seconds, *, size=224, batch=64, threads=1, antialias=True, steps=(), flags=()):
    """Runs data.train's loader alone (bench/device_pipeline_alone) and returns the content of its --json file."""
    config = folder / "decode.pbtxt"
    config.write_text(CONFIG.format(path=folder / "data", threads=threads, size=size, batch=batch,
                                    antialias=str(antialias).lower(), steps="\n  ".join(steps)))
    harness.run([alone, f"--config={config}", "--device=cpu", f"--seconds={seconds}", f"--json={folder / 'rate.json'}", *flags],
                folder / "finetune.log")
    return json.loads((folder / "rate.json").read_text())


def step(options, folder, data, classes, steps):
    """Returns the seconds of a training step on the data set `data`, and the seconds of it that it waits for data."""
    config = folder / "train.pbtxt"
    config.write_text(TRAIN.format(path=folder / data, classes=classes, threads=options.threads, batch=TRAIN_BATCH,
                                   steps="\n  ".join(steps)))
    program = need(options.bin / "src/main/finetune", "bazel build //src/main:finetune")
    records = harness.Records(folder / "run")
    shutil.rmtree(folder / "run", ignore_errors=True)
    words, env = harness.mpirun(1)
    harness.run([*words, program, f"--config={config}", f"--work_dir={folder / 'run'}", "--quiet",
                 f"--max_iterations={TRAIN_WARM_UP + options.steps}"], folder / "train.log", env=env)
    kept = harness.trained(records.read(), TRAIN_WARM_UP)
    records.close()
    return sum(r["time"] for r in kept) / len(kept), sum(r["data_time"] for r in kept) / len(kept)


def apart(alone, folder, count):
    """Prints by how much images that are decoded at a smaller scale differ from fully decoded ones. `count`: the number of
    images."""
    import numpy
    rows = []
    for size in (224, 112, 56, 28):
        for antialias in (True, False):
            images = []
            for exact in (True, False):
                out = folder / "images.raw"
                run_loader(alone, folder, 0.01, size=size, batch=min(count, 512), antialias=antialias,
                           flags=(f"--save={out}", f"--set=data.exact_decoding={str(exact).lower()}"))
                images.append(numpy.fromfile(out, numpy.float32).reshape(-1, 3 * size * size).astype(numpy.float64))
            differences = numpy.abs(images[0] - images[1])
            scaled = differences.any(axis=1)
            of_scaled = differences[scaled]
            rows.append((f"{size}x{size}", "antialias" if antialias else "plain", f"{100 * scaled.mean():.0f} %",
                         *([f"{of_scaled.mean():.2f}", f"{numpy.quantile(of_scaled, 0.99):.1f}", f"{of_scaled.max():.0f}"]
                           if scaled.any() else ["-"] * 3)))
    print(harness.table(("crop to", "", "images scaled", "mean difference", "99 % are below", "greatest"), rows))


def find_python():
    """Starts the script again with the Python of bench/setup_peer.sh, unless this one has torchvision."""
    if importlib.util.find_spec("torchvision") is None:
        need(DEFAULT_PYTHON, "bench/setup_peer.sh")
        os.execv(DEFAULT_PYTHON, [DEFAULT_PYTHON, *sys.argv])


def fetch_packages(log):
    """Installs bench/decode-requirements.txt beside the Python that runs this script."""
    wanted = ROOT / "bench/decode-requirements.txt"
    done = PACKAGES / ".done"
    if done.exists() and done.read_text() == wanted.read_text():
        return
    print(f"fetching OpenCV and DALI into {PACKAGES}", file=sys.stderr)
    shutil.rmtree(PACKAGES, ignore_errors=True)
    harness.run([sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-compile",
                 "--only-binary=:all:", "--target", PACKAGES, "-r", wanted], log)
    done.write_text(wanted.read_text())


def versions():
    """Returns the versions of the packages that the rows use."""
    found = {}
    for path in (None, [str(PACKAGES)]):
        for one in importlib.metadata.distributions(**({"path": path} if path else {})):
            found.setdefault(one.metadata["Name"].lower().replace("_", "-"), one.version)
    names = ("torch", "torchvision", "pillow", "opencv-python-headless", "nvidia-dali-cuda130", "ffcv")
    turbo = subprocess.run(["pkg-config", "--modversion", "libturbojpeg"], capture_output=True, text=True, check=False).stdout.strip()
    return ", ".join(f"{name} {found[name]}" for name in names if name in found) + f", libjpeg-turbo {turbo or 'unknown'}"


def target(value, least):
    return f"{'reached' if value >= least else 'NOT reached'}: {least:g} times"


def main():
    find_python()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=15, help="the number of training steps that the row train measures")
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--bin", type=pathlib.Path, default=ROOT / "bazel-bin")
    parser.add_argument("--rows", type=lambda text: text.split(","))
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        peer(options.peer, options.data, options.threads, options.seconds)
        return
    prepare = need(options.bin / "data_tools/prepare_dataset", "bazel build //data_tools:prepare_dataset")
    alone = need(options.bin / "bench/device_pipeline_alone", "bazel build //bench:device_pipeline_alone")
    folder = harness.temporary_folder()
    images = options.data or folder / "images"

    def copy():
        shutil.rmtree(folder / "copy", ignore_errors=True)
        subprocess.run(["cp", "-r", images, folder / "copy"], check=True)
        subprocess.run(["sync", "-f", folder], check=True)

    memory, waits = [], []

    def ours(name):
        result = run_loader(alone, folder, options.seconds, threads=options.threads, antialias=name != "finetune-plain",
                            steps=(FLIP, *([TAW] if name == "finetune-TAW" else []), NORMALIZE))
        memory.append(result["loader_mib"])
        return result["images_per_s"]["read"]

    def train():
        """Returns which share of a step on encoded shards its parts alone take. The parts share the same cores."""
        # A crop's pixels are as many whatever the batch. So the row `finetune`, measured in the same round, tells the time.
        decoding = TRAIN_BATCH / rates["finetune"][-1]
        computing, _ = step(options, folder, "pixels", len(by_class), [NORMALIZE])
        whole, waiting = step(options, folder, "data", len(by_class),
                              ["pipeline { random_resized_crop { size: 224 antialias: true } }", FLIP, NORMALIZE])
        waits.append(waiting / whole)
        return (decoding + computing) / whole

    measures = {"copy": lambda: timed(copy), "convert-headers": lambda: timed(lambda: convert(prepare, images, folder)),
                "convert-decoding": lambda: timed(lambda: convert(prepare, images, folder, "decode")),
                "bare": lambda: bare(files, options.threads, options.seconds)}
    measures |= {name: lambda name=name: ours(name) for name in OURS}
    measures |= {name: lambda name=name: measure_peer(name, images, options, folder) for name in PEERS}
    measures["train"] = train
    if options.rows:
        if unknown := set(options.rows) - set(measures):
            raise Failed(f"--rows: found {', '.join(sorted(unknown))}; expected some of {', '.join(measures)}")
        wanted = {*options.rows, *(["finetune"] if "train" in options.rows else [])}
        measures = {name: measure for name, measure in measures.items() if name in wanted}

    harness.machine()
    if not options.apart and {"OpenCV", "DALI"} & set(measures):
        fetch_packages(folder / "pip.log")
    print(versions())
    if options.data is None:
        make_images(images, options.images)
    files = files_of(images)
    by_class = {place.parent.name: [] for place in files}
    for place in files:
        by_class[place.parent.name].append(place)
    print(f"{len(files)} images of {sum(p.stat().st_size for p in files) / len(files) / 1000:.1f} KB, {options.threads} threads, "
          f"{options.rounds} rounds of {options.seconds:g} s a row", flush=True)
    if options.apart:
        convert(prepare, images, folder)
        apart(alone, folder, len(files))
        return
    if not (folder / "data").exists():
        convert(prepare, images, folder)
    if "train" in measures:
        few = folder / "few"
        for place in few_of(by_class.values(), 4 * TRAIN_BATCH):
            (few / place.parent.name).mkdir(parents=True, exist_ok=True)
            (few / place.parent.name / place.name).symlink_to(place.resolve())
        convert(prepare, few, folder, name="pixels", store=("--store=raw", "--size=224"))
    rates = {name: [] for name in measures}
    for number in range(options.rounds):
        for name, measure in measures.items():
            print(f"round {number + 1}: {name}", file=sys.stderr)
            rate = measure()
            if rate is not None:
                rates[name].append(rate)
    rows = []
    for name, values in rates.items():
        beside, reached = "", ""
        if not values:
            rows.append((name, "does not run here", "", ""))
            continue
        if name == "train":
            share = median(values)
            rows.append((name, harness.spread(values, "{:.2f}"), f"of a step are decoding and computing alone; {100 * median(waits):.1f} % waits "
                         "for data", target(share, LEAST_OF_PARTS)))
            continue
        if name in SECONDS:
            if "copy" in rates and name != "copy":
                times = median(values) / median(rates["copy"])
                beside = f"{times:.2f} times the copy"
                if SECONDS[name] is not None:
                    reached = f"{'reached' if times <= SECONDS[name] else 'NOT reached'}: at most {SECONDS[name]:g} times"
            rows.append((name, harness.spread(values, "{:.2f} s"), beside, reached))
            continue
        own, least = PEERS.get(name, ("finetune", LEAST_OF_BARE if name == "bare" else None))
        if name != own and rates.get(own):
            times = median(rates[own]) / median(values)
            beside = f"{own} is {times:.2f} times as fast"
            reached = target(times, least) if least else ""
        rows.append((name, harness.spread(values, "{:.0f}"), beside, reached))
    if memory:
        rows.append(("memory", harness.spread(memory, "{:.0f} MiB"), "beside the batches",
                     f"{'reached' if max(memory) <= MOST_MIB else 'NOT reached'}: at most {MOST_MIB} MiB"))
    print(harness.table(("", "images a second", "", "must be"), rows))


if __name__ == "__main__":
    with harness.cleaned_up():
        main()
