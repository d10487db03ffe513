#!/usr/bin/env python3
"""One rank of PyTorch's DistributedDataParallel over gloo: ResNet-18 with CIFAR's stem on random 32x32 images, SGD.

bench/links.py starts the ranks. By hand: RANK=0 WORLD_SIZE=1 ddp_peer.py --init=file:///tmp/new_file Rank 0 prints one
JSON line with the median time of a step, after two warm-up steps. Modes:
  train     forward, backward with the all-reduces at the same time, update
  compute   the same without any communication, on all ranks at the same time
  comm      only all-reduces, of as many bytes as the gradients have, in DDP's buckets of 25 MiB
"""
import argparse
import contextlib
import json
import os
import statistics
import time


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--init", required=True, help="file:///PATH of a file that is not there yet, or tcp://HOST:PORT")
    parser.add_argument("--mode", choices=["train", "compute", "comm"], default="train")
    parser.add_argument("--batch", type=int, default=32, help="images a rank and step (default %(default)s)")
    parser.add_argument("--steps", type=int, default=8, help="(default %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of each rank (default %(default)s)")
    parser.add_argument("--precision", choices=["bf16", "fp32"], default="fp32", help="(default %(default)s)")
    flags = parser.parse_args()
    if missing := [name for name in ("RANK", "WORLD_SIZE") if name not in os.environ]:
        parser.error(f"{' and '.join(missing)} not set in the environment")

    import torch
    import torch.distributed as dist
    import torch.nn.functional as F
    import torchvision

    torch.set_num_threads(flags.threads)
    torch.manual_seed(0)
    rank, size = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"])
    dist.init_process_group("gloo", init_method=flags.init, rank=rank, world_size=size)
    model = torchvision.models.resnet18(num_classes=10)
    model.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    model.maxpool = torch.nn.Identity()
    model = model.to(memory_format=torch.channels_last)
    parameters = sum(p.numel() for p in model.parameters())
    if flags.mode == "train" and size > 1:
        model = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-4, foreach=True)
    x = torch.randn(flags.batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (flags.batch,))
    buckets = torch.zeros(parameters).split(25 * 2**20 // 4)

    def train():
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=flags.precision == "bf16"):
            loss = F.cross_entropy(model(x), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    def communicate():
        for work in [dist.all_reduce(bucket, async_op=True) for bucket in buckets]:
            work.wait()

    step = communicate if flags.mode == "comm" else train
    times = []
    dist.barrier()
    for _ in range(2 + flags.steps):
        start = time.perf_counter()
        step()
        times.append(time.perf_counter() - start)
    dist.barrier()
    if rank == 0:
        print(json.dumps({"mode": flags.mode, "seconds": statistics.median(times[2:]), "bytes": 4 * parameters}), flush=True)
    with contextlib.suppress(RuntimeError):
        dist.destroy_process_group()


if __name__ == "__main__":
    main()
