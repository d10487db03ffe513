#!/usr/bin/env bash
# Drawing images with weights of 1 / (size of the class) by torch.multinomial never draws most of the images of frequent
# classes when there are ten thousand classes: 24 bits are used up by the sum of the weights.
#
# Software: torch 2.15.0, numpy 2.4.6, on the CPU.
#
# Expected: float32 weights are exact to seven digits, so each class is drawn nearly equally often. More categories than
# 2^24 are refused with an error; below that number all is well.
#
# Found: the kernel adds the weights one by one in the tensor's own type and draws by the running sum. In float32 a
# weight below half of the distance between two numbers near the sum changes nothing: its image has a share of 0. The
# sum is the number of classes so far. Beyond 8,192 no image of a class of more than 2,048 images is ever drawn; weights
# a little larger count up to twice. Scaling the weights changes nothing. Float64 weights are right, and so is
# WeightedRandomSampler, which turns its weights into float64.
#
# Output: 20,000 classes, every tenth of 3,000 images, the others of 400, one after the other (13.2 million images); two
# million draws, about 100 for each class:
#   float32: 1,179 of the 2,000 frequent classes are never drawn; together they get 0.050 of the draws, not 0.100;
#   another class is drawn 47 to 158 times. float64: each is drawn; 0.100; 65 to 140 times.
#
# Why it matters: a sampler of one's own for several ranks, for which WeightedRandomSampler is not made, calls
# multinomial with float32, PyTorch's default. Its output looks balanced in a test with ten classes, and the loss falls.
# The frequent classes are then those that the network knows least, at the size of ImageNet-21k or of a catalogue. Give
# float64 weights, or draw a class and then an image of it.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv torch==2.15.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
import sys

import torch

CLASSES, DRAWS = 20_000, 2_000_000
print(f"torch {torch.__version__}")
sizes = torch.full((CLASSES,), 400)
sizes[::10] = 3000
labels = torch.repeat_interleave(torch.arange(CLASSES), sizes)
print(f"{CLASSES} classes, {len(labels)} images, at most 2^24: {len(labels) <= 2**24}")


def draw(dtype):
    """Returns how many of the frequent classes are never drawn, and the share of draws that frequent classes get."""
    torch.manual_seed(0)
    weights = (1 / sizes.to(dtype))[labels]
    images = torch.multinomial(weights, DRAWS, replacement=True)
    drawn = torch.bincount(labels[images], minlength=CLASSES)
    frequent = drawn[::10]
    never, share = int((frequent == 0).sum()), frequent.sum().item() / DRAWS
    rest = torch.cat([drawn[i::10] for i in range(1, 10)])
    print(f"{str(dtype):14} frequent classes never drawn: {never} of {len(frequent)}, their share of the draws "
          f"{share:.4f} (0.1 is right); draws of another class: {rest.min()} to {rest.max()}")
    return never, share


single, single_share = draw(torch.float32)
double, double_share = draw(torch.float64)

if double != 0 or abs(double_share - 0.1) > 0.002:
    sys.exit("The comparison is not valid: float64 weights do not draw each class equally often.")
if single < 1000 or single_share > 0.06:
    sys.exit("The behaviour has changed: float32 weights draw most of the frequent classes.")
print("As described: with float32 weights most of the frequent classes are never drawn.")
PY
