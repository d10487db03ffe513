"""Compares finetune's logits with those of the package efficientnet-lite-pytorch on the same ImageNet weights.
tests/peers/efficientnet_lite.sh calls it with the program tests/logits and the file of the weights."""
import os
import subprocess
import sys
import tempfile

import torch
from efficientnet_lite_pytorch import EfficientNet

LIMIT = 1e-4
IMAGES = 200


def main(logits_program, weights):
    package = EfficientNet.from_name("efficientnet-lite0")
    package.load_state_dict(torch.load(weights, weights_only=True))
    package.eval()
    # Smooth images in [-1, 1], the range after normalize { mean: 127 std: 128 }.
    torch.manual_seed(0)
    images = torch.nn.functional.interpolate(torch.rand(IMAGES, 3, 14, 14) * 2 - 1, size=224, mode="bicubic").clamp(-1, 1)
    with torch.no_grad():
        expected = torch.cat([package(part) for part in images.split(20)]).double()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "images.pth")
        torch.save({"images": images}, path)
        command = [logits_program, "backbone { efficientnet_lite {} } head { num_classes: 1000 }", weights, path]
        output = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    actual = torch.tensor([[float(value) for value in line.split()] for line in output.splitlines()], dtype=torch.float64)
    scale = expected.square().mean().sqrt()
    worst = ((actual - expected).abs().max() / scale).item()
    same = (actual.argmax(1) == expected.argmax(1)).sum().item()
    print(f"efficientnet-lite0: {tuple(actual.shape)} logits, the worst {worst:.1e} of their root mean square off; "
          f"{same} of {len(images)} images have the same class")
    if worst > LIMIT or same != len(images):
        sys.exit(f"efficientnet_lite.py: expected at most {LIMIT:.0e} and the same class for each")


main(*sys.argv[1:])
