#!/usr/bin/env python3
"""Measures how many images per second finetune and other loaders decode and augment: JPEGs of 500x375,
RandomResizedCrop(224), flip, normalise.

  bench/decode.py [--images=2000] [--threads=2] [--seconds=10] [--rounds=3] [--data=FOLDER] [--only=NAME,NAME]
  bench/decode.py --apart [--data=FOLDER]

Each round measures every row once, so that a time in which the machine is slower affects all rows. Each row has
`threads` threads or worker processes. Prints the median over the rounds with the least and the greatest value.

  bare            libjpeg-turbo decodes each file at full size, and nothing else: an upper bound for loaders that decode whole images
  finetune        data.train's loader on encoded shards, antialias: true
  finetune plain  the same without antialiasing, as OpenCV resizes
  finetune TAW    `finetune` with trivial_augment_wide before normalisation
  ImageFolder     torchvision's ImageFolder (Pillow) and v2 transforms in a DataLoader
  decode_image    torchvision.io.decode_image and v2 transforms on tensors in a DataLoader
  decode_image TAW  the same with v2.TrivialAugmentWide
  OpenCV          cv2.imread, crop and cv2.resize in a DataLoader, where cv2 is installed
  FFCV            FFCV's Loader on a .beton file that holds the JPEGs, where ffcv is installed
  DALI            NVIDIA DALI's pipeline on the CPU, where nvidia-dali is installed
  memory          the peak memory of finetune's loader in MiB, without the batches and without the memory used before it started
  copy, convert   seconds of copying the files, and of prepare_dataset image_folder --store=encoded, which checks the files'
                  headers or decodes all files

`--apart` measures no speed. It prints by how much the pixels of JPEGs that are decoded at 1/2, 1/4 or 1/8 of their size
differ from those of full decoding (data.exact_decoding), on the scale 0 to 255, for crops of several sizes, with and
without antialiasing.

`--data`: a folder with one folder for each class, instead of generated images. `--only`: the rows to measure. Needs the
Python of bench/setup_peer.sh with Pillow and torchvision, and `bazel build //bench:device_pipeline_alone
//data_tools:prepare_dataset`.
"""
import argparse
import ctypes
import ctypes.util
import json
import pathlib
import shutil
import subprocess
import sys
import threading
import time

import harness
from harness import ROOT, Failed, median, need

# For each peer, the row of finetune that makes the same images and so is compared with it.
PEERS = {"ImageFolder": "finetune", "decode_image": "finetune", "decode_image TAW": "finetune TAW", "OpenCV": "finetune plain",
         "FFCV": "finetune", "DALI": "finetune"}
OURS = ("finetune", "finetune plain", "finetune TAW")
SECONDS = ("copy", "convert, headers", "convert, decoding")
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
        steps = v2.Compose([*crop, *([v2.TrivialAugmentWide()] if name == "decode_image TAW" else []), *finish])
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
                            f"--seconds={options.seconds}"], log)
        return json.loads(text.splitlines()[-1])
    except (Failed, ValueError, IndexError):
        print(f"{name} does not run here; the end of {log}:", *log.read_text(errors="replace").splitlines()[-1:], file=sys.stderr)
        return None


def timed(work):
    start = time.monotonic()
    work()
    return time.monotonic() - start


def convert(prepare, images, folder, check="header"):
    harness.run([prepare, "image_folder", f"--input={images}", f"--output={folder / 'data'}", "--store=encoded", "--force",
                 "--val_fraction=0", f"--check={check}"], folder / "convert.log")


def run_loader(alone, folder, seconds, *, size=224, batch=64, threads=1, antialias=True, steps=(), flags=()):
    """Runs data.train's loader alone (bench/device_pipeline_alone) and returns the content of its --json file."""
    config = folder / "decode.pbtxt"
    config.write_text(CONFIG.format(path=folder / "data", threads=threads, size=size, batch=batch,
                                    antialias=str(antialias).lower(), steps="\n  ".join(steps)))
    harness.run([alone, f"--config={config}", "--device=cpu", f"--seconds={seconds}", f"--json={folder / 'rate.json'}", *flags],
                folder / "finetune.log")
    return json.loads((folder / "rate.json").read_text())


def apart(alone, folder, images):
    """Prints by how much images that are decoded at a smaller scale differ from fully decoded ones."""
    import numpy
    rows = []
    for size in (224, 112, 56, 28):
        for antialias in (True, False):
            images = []
            for exact in (True, False):
                out = folder / "images.raw"
                run_loader(alone, folder, 0.01, size=size, batch=min(images, 512), antialias=antialias,
                           flags=(f"--save={out}", f"--set=data.exact_decoding={str(exact).lower()}"))
                images.append(numpy.fromfile(out, numpy.float32).reshape(-1, 3 * size * size).astype(numpy.float64))
            differences = numpy.abs(images[0] - images[1])
            scaled = differences.any(axis=1)
            of_scaled = differences[scaled]
            rows.append((f"{size}x{size}", "antialias" if antialias else "plain", f"{100 * scaled.mean():.0f} %",
                         *([f"{of_scaled.mean():.2f}", f"{numpy.quantile(of_scaled, 0.99):.1f}", f"{of_scaled.max():.0f}"]
                           if scaled.any() else ["-"] * 3)))
    print(harness.table(("crop to", "", "images scaled", "mean difference", "99 % are below", "greatest"), rows))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--only", type=lambda text: text.split(","))
    parser.add_argument("--apart", action="store_true")
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        peer(options.peer, options.data, options.threads, options.seconds)
        return
    prepare = need(ROOT / "bazel-bin/data_tools/prepare_dataset", "bazel build //data_tools:prepare_dataset")
    alone = need(ROOT / "bazel-bin/bench/device_pipeline_alone", "bazel build //bench:device_pipeline_alone")
    folder = harness.temporary_folder()
    images = options.data or folder / "images"
    if options.data is None:
        make_images(images, options.images)
    files = files_of(images)
    print(f"{len(files)} images of {sum(p.stat().st_size for p in files) / len(files) / 1000:.1f} KB, {options.threads} threads")
    if options.apart:
        convert(prepare, images, folder)
        apart(alone, folder, len(files))
        return

    def copy():
        shutil.rmtree(folder / "copy", ignore_errors=True)
        subprocess.run(["cp", "-r", images, folder / "copy"], check=True)
        subprocess.run(["sync", "-f", folder], check=True)

    memory = []

    def ours(name):
        result = run_loader(alone, folder, options.seconds, threads=options.threads, antialias=name != "finetune plain",
                            steps=(FLIP, *([TAW] if name == "finetune TAW" else []), NORMALIZE))
        memory.append(result["loader_mib"])
        return result["images_per_s"]["read"]

    measures = {"copy": lambda: timed(copy), "convert, headers": lambda: timed(lambda: convert(prepare, images, folder)),
                "convert, decoding": lambda: timed(lambda: convert(prepare, images, folder, "decode")),
                "bare": lambda: bare(files, options.threads, options.seconds)}
    measures |= {name: lambda name=name: ours(name) for name in OURS}
    measures |= {name: lambda name=name: measure_peer(name, images, options, folder) for name in PEERS}
    if options.only:
        if unknown := set(options.only) - set(measures):
            raise Failed(f"--only: no {', '.join(sorted(unknown))}; expected some of {', '.join(measures)}")
        measures = {name: measure for name, measure in measures.items() if name in options.only}
    if not (folder / "data").exists():
        convert(prepare, images, folder)
    rates = {name: [] for name in measures}
    for _ in range(options.rounds):
        for name, measure in measures.items():
            rate = measure()
            if rate is not None:
                rates[name].append(rate)
    rows = []
    for name, values in rates.items():
        if not values:
            rows.append((name, "does not run here", ""))
        elif name in SECONDS:
            share = f"{median(values) / median(rates['copy']):.2f} of copy" if "copy" in rates else ""
            rows.append((name, harness.spread(values, "{:.2f} s"), share))
        else:
            own = rates.get(PEERS.get(name, "finetune"))
            rows.append((name, harness.spread(values, "{:.0f}"),
                         f"{PEERS.get(name, 'finetune')} is {median(own) / median(values):.2f} of it" if own else ""))
    if memory:
        rows.append(("memory", harness.spread(memory, "{:.0f} MiB"), "beside the batches"))
    print(harness.table(("", "images a second", ""), rows))


if __name__ == "__main__":
    with harness.cleaned_up():
        main()
