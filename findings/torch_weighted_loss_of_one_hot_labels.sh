#!/usr/bin/env bash
# The same labels with the same class weights have another cross-entropy in PyTorch when they are given as one-hot
# rows: switching on mixup changes the loss, and the step that SGD makes, by the mean weight of each batch's labels.
#
# Software: torch 2.15.0.
#
# Expected: a class index and the one-hot row of that class say the same, so cross_entropy(logits, index, weight=w) and
# cross_entropy(logits, one_hot, weight=w) are equal, as they are without weights. Mixup and CutMix give such rows.
#
# Found: with indices the mean is over the labels' weights, sum(w * loss) / sum(w). With probabilities it is over the
# images, sum(w * loss) / N. The two differ by the mean weight of the batch's labels, which also changes from batch to
# batch. Both are in the reference's formulas, far apart, and no option makes one the other. torchvision's own mixup
# with lambda 1, which changes no pixel and no label, changes the loss as well.
#
# Output: eight images, six of a class with weight 0.1, one each of classes with weights 1 and 10:
#   indices 2.431707, one-hot rows 3.525975; ratio 1.45, which is the mean weight (6 * 0.1 + 1 + 10) / 8.
#   A batch of the frequent class alone: ratio 0.1. Without weights: ratio 1.
#
# Why it matters: class weights are used where classes are rare, and mixup is added later to the same recipe. The
# batches of frequent classes then make steps ten times smaller, those with a rare image several times larger. The
# accuracy moves for a reason that has nothing to do with mixup, and a comparison of the two runs says nothing. The
# same happens to whoever replaces labels by soft ones for distillation or smoothing of one's own.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv torch==2.15.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
import sys

import torch
from torch.nn import functional

print(f"torch {torch.__version__}")
torch.manual_seed(0)
logits = torch.randn(8, 3)
weight = torch.tensor([0.1, 1.0, 10.0])


def ratio(label, labels, weight):
    rows = functional.one_hot(labels, 3).float()
    by_index = functional.cross_entropy(logits, labels, weight=weight).item()
    by_row = functional.cross_entropy(logits, rows, weight=weight).item()
    print(f"{label:34} indices {by_index:.6f}, one-hot rows {by_row:.6f}, ratio {by_row / by_index:.4f}")
    return by_row / by_index


mixed = torch.tensor([0, 0, 0, 0, 0, 0, 1, 2])
plain = ratio("no weights", mixed, None)
weighted = ratio("weights 0.1, 1, 10", mixed, weight)
frequent = ratio("weights, only the frequent class", torch.zeros(8, dtype=torch.long), weight)
mean = weight[mixed].mean().item()
print(f"mean weight of the labels {mean:.4f}")

if abs(plain - 1) > 1e-5:
    sys.exit("The behaviour has changed: the two differ without weights too.")
if abs(weighted - mean) > 1e-4 or abs(frequent - 0.1) > 1e-4:
    sys.exit("The behaviour has changed: the two no longer differ by the mean weight of the labels.")
print("As described: the loss of one-hot rows is that of the indices times the batch's mean weight.")
PY
