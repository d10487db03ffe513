#!/usr/bin/env python3
"""Images a second of PyTorch itself on the fine-tuning job: ResNet-50 at 224x224, stem and stages 1-2 frozen, 10 classes, SGD.

  bench/pytorch_peer.py [--batch=32] [--steps=6] [--threads=2] [--modes=fp32,fp32_cl,bf16_cl,bf16_cl_frozen,bf16_cl_compile]

bench/run.py starts it with the Python of bench/setup_peer.sh. It prints one JSON line a mode: training and evaluation images
a second (from the median step after two of warm-up) and the peak of the process's memory. Each mode runs in a process of its
own, so that no mode inherits memory from another. A mode's name holds these words, joined by underscores:

  fp32, bf16   float32, which a default training script uses on a CPU; or autocast to bfloat16
  cl           channels-last memory format
  frozen       the frozen part runs without recording a graph
  compile      the same, and torch.compile over the forward pass

A batch starts as uint8 32x32 images. Crop, flip, resize and normalisation are inside the timed step, as in a real run.
"""
import argparse
import json
import resource
import statistics
import subprocess
import sys
import time

WARM_UP = 2
IMAGES = 512
STORED_SIDE, SIDE, PADDING = 32, 224, 4
MEAN, STD = (125.307, 122.961, 113.8575), (51.5865, 50.847, 51.255)


def measure(mode, batch, steps, threads):
    """Prints the JSON line of one mode."""
    import torch
    import torch.nn.functional as F
    import torchvision

    words = mode.split("_")
    layout = torch.channels_last if "cl" in words else torch.contiguous_format
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    model = torchvision.models.resnet50(num_classes=10).to(memory_format=layout)
    frozen = [model.conv1, model.bn1, model.layer1, model.layer2]
    for module in frozen:
        module.requires_grad_(False)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=1e-4, foreach=True)

    def frozen_part(x):
        return model.layer2(model.layer1(model.maxpool(model.relu(model.bn1(model.conv1(x))))))

    def trained_part(x):
        return model.fc(torch.flatten(model.avgpool(model.layer4(model.layer3(x))), 1))

    def forward_split(x):
        with torch.no_grad():
            x = frozen_part(x)
        return trained_part(x)

    forward = forward_split if {"frozen", "compile"} & set(words) else model
    if "compile" in words:
        forward = torch.compile(forward)

    stored = torch.randint(0, 256, (IMAGES, 3, STORED_SIDE, STORED_SIDE), dtype=torch.uint8)
    labels = torch.randint(0, 10, (IMAGES,))
    mean, std = torch.tensor(MEAN).view(1, 3, 1, 1), torch.tensor(STD).view(1, 3, 1, 1)

    def crop_and_flip(x):
        padded = F.pad(x, (PADDING,) * 4)
        tops, lefts = (torch.randint(0, 2 * PADDING + 1, (len(x),)).tolist() for _ in range(2))
        cropped = torch.empty_like(x)
        for i, (top, left) in enumerate(zip(tops, lefts)):
            image = padded[i, :, top:top + STORED_SIDE, left:left + STORED_SIDE]
            cropped[i] = image.flip(2) if torch.rand(()) < 0.5 else image
        return cropped

    def load(training):
        indices = torch.randint(0, IMAGES, (batch,))
        x = stored[indices].float()
        if training:
            x = crop_and_flip(x)
        x = F.interpolate(x, size=SIDE, mode="bilinear", align_corners=False)
        return ((x - mean) / std).contiguous(memory_format=layout), labels[indices]

    def autocast():
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled="bf16" in words)

    def training_step():
        x, y = load(training=True)
        with autocast():
            loss = F.cross_entropy(forward(x), y)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    @torch.no_grad()
    def evaluation_step():
        x, _ = load(training=False)
        with autocast():
            forward(x).argmax(1)

    def images_per_second(step):
        times = []
        for i in range(WARM_UP + steps):
            start = time.perf_counter()
            step()
            if i >= WARM_UP:
                times.append(time.perf_counter() - start)
        return round(batch / statistics.median(times), 2)

    model.train()
    for module in frozen:
        module.eval()
    training = images_per_second(training_step)
    model.eval()
    evaluation = images_per_second(evaluation_step)
    print(json.dumps({"mode": mode, "batch": batch, "threads": threads, "train_images_per_s": training,
                      "eval_images_per_s": evaluation,
                      "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=32, help="images a step (default %(default)s)")
    parser.add_argument("--steps", type=int, default=6, help="timed steps (default %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="(default %(default)s)")
    parser.add_argument("--modes", default="fp32,fp32_cl,bf16_cl,bf16_cl_frozen,bf16_cl_compile", help="(default %(default)s)")
    parser.add_argument("--one", metavar="MODE", help="measure this mode in this process")
    flags = parser.parse_args()
    if flags.one:
        measure(flags.one, flags.batch, flags.steps, flags.threads)
        return 0
    failed = []
    for mode in flags.modes.split(","):
        command = [sys.executable, __file__, "--one", mode, "--batch", str(flags.batch), "--steps", str(flags.steps),
                   "--threads", str(flags.threads)]
        if subprocess.run(command, check=False).returncode != 0:
            failed.append(mode)
    return f"pytorch_peer.py: failed: {', '.join(failed)}" if failed else 0


if __name__ == "__main__":
    sys.exit(main())
