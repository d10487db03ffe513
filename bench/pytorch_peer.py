#!/usr/bin/env python3
"""Measures the images per second of PyTorch itself on the fine-tuning job: ResNet-50 at 224x224, 10 classes, SGD.

  bench/pytorch_peer.py [--batch=32] [--steps=6] [--threads=2] [--modes=fp32,fp32_cl,bf16_cl,bf16_cl_frozen,bf16_cl_compile]
                        [--frozen_stages=2] [--device=cpu|cuda]

bench/run.py starts it with the Python of bench/setup_peer.sh, and tools/gpu/check.sh on a GPU. It prints one JSON line
for each mode: images per second in training and in evaluation (on the CPU from the median step after two warm-up steps,
on a GPU from all steps together) and the peak of the process's memory. Each mode runs in a process of its own, so that
no mode inherits memory from another. A mode's name consists of these words, joined by underscores:

  fp32, bf16   float32, which a default training script uses on a CPU; or autocast to bfloat16
  cl           channels-last memory format
  frozen       the frozen part runs without recording a graph
  compile      as frozen, and torch.compile over the forward pass
  graphs       as compile, in mode reduce-overhead, which records CUDA graphs

A batch starts as uint8 32x32 images. Crop, flip, resize and normalisation are inside the timed step, as in a real run.
On a GPU all images are in its memory from the start, and cuDNN chooses its algorithms by trying them.
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

WARM_UP = {"cpu": 2, "cuda": 8}
IMAGES = 512
STORED_SIDE, SIDE, PADDING = 32, 224, 4
MEAN, STD = (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)


def measure(mode, batch, steps, threads, frozen_stages, device):
    """Prints the JSON line of one mode."""
    import torch
    import torch.nn.functional as F
    import torchvision

    words = mode.split("_")
    layout = torch.channels_last if "cl" in words else torch.contiguous_format
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    torch.backends.cudnn.benchmark = True
    model = torchvision.models.resnet50(num_classes=10).to(device, memory_format=layout)
    stages = [torch.nn.Sequential(model.conv1, model.bn1, model.relu, model.maxpool), model.layer1, model.layer2, model.layer3,
              model.layer4]
    frozen = stages[:frozen_stages + 1]
    for module in frozen:
        module.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=1e-4, foreach=True)

    def forward_split(x):
        with torch.no_grad():
            for stage in frozen:
                x = stage(x)
        for stage in stages[len(frozen):]:
            x = stage(x)
        return model.fc(torch.flatten(model.avgpool(x), 1))

    forward = forward_split if {"frozen", "compile", "graphs"} & set(words) else model
    if "compile" in words:
        forward = torch.compile(forward)
    elif "graphs" in words:
        forward = torch.compile(forward, mode="reduce-overhead")

    stored = torch.randint(0, 256, (IMAGES, 3, STORED_SIDE, STORED_SIDE), dtype=torch.uint8, device=device)
    labels = torch.randint(0, 10, (IMAGES,), device=device)
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))

    def crop_and_flip(x):
        padded = F.pad(x, (PADDING,) * 4)
        if device == "cuda":
            # Crops all images in one operation, without synchronizing with the CPU.
            window = torch.arange(STORED_SIDE, device=device)
            tops, lefts = (torch.randint(0, 2 * PADDING + 1, (len(x), 1), device=device) + window for _ in range(2))
            images = torch.arange(len(x), device=device)
            cropped = padded.permute(0, 2, 3, 1)[images[:, None, None], tops[:, :, None], lefts[:, None, :]].permute(0, 3, 1, 2)
            return torch.where(torch.rand(len(x), 1, 1, 1, device=device) < 0.5, cropped.flip(3), cropped)
        tops, lefts = (torch.randint(0, 2 * PADDING + 1, (len(x),)).tolist() for _ in range(2))
        cropped = torch.empty_like(x)
        for i, (top, left) in enumerate(zip(tops, lefts)):
            image = padded[i, :, top:top + STORED_SIDE, left:left + STORED_SIDE]
            cropped[i] = image.flip(2) if torch.rand(()) < 0.5 else image
        return cropped

    def load(training):
        indices = torch.randint(0, IMAGES, (batch,), device=device)
        x = stored[indices].float()
        if training:
            x = crop_and_flip(x)
        x = F.interpolate(x, size=SIDE, mode="bilinear", align_corners=False)
        return ((x - mean) / std).contiguous(memory_format=layout), labels[indices]

    def autocast():
        return torch.autocast(device, dtype=torch.bfloat16, enabled="bf16" in words)

    def training_step():
        if "graphs" in words:
            torch.compiler.cudagraph_mark_step_begin()
        x, y = load(training=True)
        with autocast():
            loss = F.cross_entropy(forward(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def evaluation_step():
        if "graphs" in words:
            torch.compiler.cudagraph_mark_step_begin()
        x, _ = load(training=False)
        with autocast():
            forward(x).argmax(1)

    def images_per_second(step):
        for _ in range(WARM_UP[device]):
            step()
        if device == "cuda":
            # A synchronization after each step would keep the next one from being queued.
            torch.cuda.synchronize()
            start = time.perf_counter()
            for _ in range(steps):
                step()
            torch.cuda.synchronize()
            return round(batch * steps / (time.perf_counter() - start), 2)
        times = []
        for _ in range(steps):
            start = time.perf_counter()
            step()
            times.append(time.perf_counter() - start)
        return round(batch / statistics.median(times), 2)

    model.train()
    for module in frozen:
        module.eval()
    training = images_per_second(training_step)
    model.eval()
    evaluation = images_per_second(evaluation_step)
    memory = {"peak_gpu_mib": torch.cuda.max_memory_reserved() >> 20} if device == "cuda" else {}
    print(json.dumps({"mode": mode, "batch": batch, "threads": threads, "device": device, "frozen_stages": frozen_stages, **memory,
                      "train_images_per_s": training,
                      "eval_images_per_s": evaluation,
                      "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="images a step (default %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="timed steps (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default %(default)s)")
    parser.add_argument("--modes", default="fp32,fp32_cl,bf16_cl,bf16_cl_frozen,bf16_cl_compile", help="(default %(default)s)")
    parser.add_argument("--frozen_stages", type=int, default=2, help="as in a config: -1 is none (default %(default)s)")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="(default %(default)s)")
    parser.add_argument("--one", metavar="MODE", help="measure this mode in this process")
    flags = parser.parse_args()
    if flags.one:
        measure(flags.one, flags.batch, flags.steps, flags.threads, flags.frozen_stages, flags.device)
        return 0
    failed = []
    for mode in flags.modes.split(","):
        command = [sys.executable, __file__, "--one", mode, "--batch", str(flags.batch), "--steps", str(flags.steps),
                   "--threads", str(flags.threads), "--frozen_stages", str(flags.frozen_stages), "--device", flags.device]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(mode)
    return f"pytorch_peer.py: failed: {', '.join(failed)}" if failed else 0


if __name__ == "__main__":
    sys.exit(main())
