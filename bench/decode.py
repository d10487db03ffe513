#!/usr/bin/env python3
"""Pictures a second that are decoded and augmented, here and by others: JPEGs of 500x375, RandomResizedCrop(224), flip, normalise.

  bench/decode.py [--pictures=2000] [--threads=2] [--seconds=10] [--rounds=3] [--data=FOLDER]

All in one run, side by side: each round measures everything once, so that a slower minute of the machine is everybody's. Each
has `threads` threads or worker processes. Printed: the median of the rounds with the least and the most.

  bare           libjpeg-turbo decodes each file at full size, and nothing else: what no loader that decodes whole pictures beats
  finetune       data.train's loader on encoded shards
  ImageFolder    torchvision's ImageFolder (Pillow) and v2 transforms in a DataLoader
  decode_image   torchvision.io.decode_image and v2 transforms on tensors in a DataLoader
  OpenCV         cv2.imread, crop and cv2.resize in a DataLoader, where cv2 is installed
  copy, convert  copying the files, and prepare_dataset image_folder --store=encoded, checking headers or decoding all; seconds

`--data`: a folder with a folder a class, in place of made-up pictures. Needs the Python of bench/setup_peer.sh with Pillow and
torchvision, and `bazel build //bench:device_pipeline_alone //data_tools:prepare_dataset`.
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

PEERS = ("ImageFolder", "decode_image", "OpenCV")
CONFIG = """
data {{ train {{
  path: "{path}" split: "train" total_batch_size: 64 workers: {threads} prefetch: 4
  pipeline {{ random_resized_crop {{ size: 224 }} }}
  pipeline {{ random_flip {{}} }}
  pipeline {{ normalize {{ mean: [123.675, 116.28, 103.53] std: [58.395, 57.12, 57.375] }} }}
}} }}
runtime {{ precision: FLOAT32 }}
"""


def make_pictures(folder, count):
    """JPEGs of 500x375 with about 67 KB each: smooth colours under noise, as photos compress."""
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
    """ctypes leaves Python's lock while the library works, so threads decode at once."""
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


def peer(name, folder, threads, seconds):
    """In a Python of its own: `decode.py --peer=...`. Prints pictures a second, or why not."""
    import torch
    from torch.utils.data import DataLoader, Dataset
    from torchvision import datasets, io as tv_io
    from torchvision.transforms import v2
    torch.set_num_threads(1)
    finish = [v2.ToDtype(torch.float32, scale=True), v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))]
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
    elif name == "decode_image":
        steps = v2.Compose([*crop, *finish])
        data = Files(lambda path: steps(tv_io.decode_image(path, tv_io.ImageReadMode.RGB)))
    else:
        import cv2
        cv2.setNumThreads(1)
        steps = v2.Compose([v2.RandomHorizontalFlip(), *finish])

        def load(path):
            image = cv2.imread(path)[..., ::-1]
            top, left, height, width = v2.RandomResizedCrop(224).make_params([torch.empty(3, *image.shape[:2])]).values()
            part = cv2.resize(image[top:top + height, left:left + width], (224, 224))
            return steps(torch.from_numpy(part).permute(2, 0, 1))
        data = Files(load)
    loader = DataLoader(data, batch_size=64, shuffle=True, num_workers=threads, persistent_workers=True, prefetch_factor=4)
    for _ in loader:  # workers start
        break
    done, start = 0, time.monotonic()
    while time.monotonic() < start + seconds:
        for images, _ in loader:
            done += len(images)
            if time.monotonic() >= start + seconds:
                break
    print(json.dumps(done / (time.monotonic() - start)))


def measure_peer(name, folder, options, logs):
    """None where it cannot run."""
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--peer", choices=PEERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.peer:
        peer(options.peer, options.data, options.threads, options.seconds)
        return
    prepare = need(ROOT / "bazel-bin/data_tools/prepare_dataset", "bazel build //data_tools:prepare_dataset")
    alone = need(ROOT / "bazel-bin/bench/device_pipeline_alone", "bazel build //bench:device_pipeline_alone")
    folder = harness.temporary_folder()
    pictures = options.data or folder / "pictures"
    if options.data is None:
        make_pictures(pictures, options.pictures)
    files = files_of(pictures)
    print(f"{len(files)} pictures of {sum(p.stat().st_size for p in files) / len(files) / 1000:.1f} KB, {options.threads} threads")

    def convert(check):
        harness.run([prepare, "image_folder", f"--input={pictures}", f"--output={folder / 'data'}", "--store=encoded", "--force",
                     "--val_fraction=0", f"--check={check}"], folder / "convert.log")

    def copy():
        shutil.rmtree(folder / "copy", ignore_errors=True)
        subprocess.run(["cp", "-r", pictures, folder / "copy"], check=True)
        subprocess.run(["sync", "-f", folder], check=True)

    config = folder / "decode.pbtxt"
    config.write_text(CONFIG.format(path=folder / "data", threads=options.threads))

    def finetune():
        harness.run([alone, f"--config={config}", "--device=cpu", f"--seconds={options.seconds}", f"--json={folder / 'rate.json'}"],
                    folder / "finetune.log")
        return json.loads((folder / "rate.json").read_text())["images_per_s"]["read"]

    rates = {name: [] for name in ("bare", "finetune", *PEERS, "copy", "convert, headers", "convert, decoding")}
    for _ in range(options.rounds):
        rates["copy"].append(timed(copy))
        rates["convert, headers"].append(timed(lambda: convert("header")))
        rates["convert, decoding"].append(timed(lambda: convert("decode")))
        rates["bare"].append(bare(files, options.threads, options.seconds))
        rates["finetune"].append(finetune())
        for name in PEERS:
            rate = measure_peer(name, pictures, options, folder)
            if rate is not None:
                rates[name].append(rate)
    ours = median(rates["finetune"])
    rows = []
    for name, values in rates.items():
        if name in ("copy", "convert, headers", "convert, decoding"):
            rows.append((name, harness.spread(values, "{:.2f} s"), f"{median(values) / median(rates['copy']):.2f} of copy"))
        elif values:
            rows.append((name, harness.spread(values, "{:.0f}"), f"finetune is {ours / median(values):.2f} of it"))
        else:
            rows.append((name, "not installed", ""))
    print(harness.table(("", "pictures a second", ""), rows))


if __name__ == "__main__":
    with harness.cleaned_up():
        main()
