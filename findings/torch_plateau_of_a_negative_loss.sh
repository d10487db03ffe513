#!/usr/bin/env bash
# PyTorch's ReduceLROnPlateau takes a slightly worse value of a negative metric for an improvement, forgets the best one,
# and so never lowers the learning rate while the metric gets worse for two hundred validations.
#
# Software: torch 2.15.0.
#
# Expected: with mode="min" a value counts as an improvement if it is lower than the best by the threshold, here a
# ten-thousandth of it; a value above the best never is one. After `patience` validations without one, the rate falls.
#
# Found: threshold_mode="rel", the default, compares with best * (1 - threshold). For a best of -10 that is -9.999,
# which lies above the best: every value up to a ten-thousandth worse "improves", becomes the new best, and resets the
# count of bad validations. The slack adds up without bound. mode="max" has the same for metrics below 0, and so has
# `threshold_mode="rel"` in libraries that took the formula over. threshold_mode="abs" is right for both signs.
#
# Output: a loss that starts at -10 and gets worse by 0.0009 at each of 200 validations, patience 2:
#   relative: best -9.8209 (it was -10), learning rate 1.0, as at the start; absolute: best -10, learning rate 1e-08.
#   The same curve moved up by 20, from 10 to 10.18: best 10, learning rate 1e-08.
#
# Why it matters: losses below 0 are usual where networks are adapted to new data: the negative cosine of self-supervised
# training, log-likelihoods of densities, a score whose sign was turned. A run on a plateau is what the class is for, and
# there it does nothing. The value it reports as the best, and that early stopping by the same rule keeps, is not the best.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv torch==2.15.0 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
import sys

import torch

print(f"torch {torch.__version__}")


def validate(label, start, threshold_mode):
    """Returns the best value and the learning rate after 200 validations, each worse than the one before by 0.0009."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, mode="min", patience=2, threshold_mode=threshold_mode)
    for validation in range(200):
        plateau.step(start + 0.0009 * validation)
    rate = optimizer.param_groups[0]["lr"]
    print(f"{label:34} best {plateau.best:.4f}, started with {start}; learning rate {rate:.3g}")
    return plateau.best, rate


negative, rate = validate("negative, relative (the default)", -10.0, "rel")
right, lowered = validate("negative, absolute", -10.0, "abs")
positive, lowered_too = validate("positive, relative (the default)", 10.0, "rel")

if right != -10.0 or lowered > 1e-3 or positive != 10.0 or lowered_too > 1e-3:
    sys.exit("The behaviour has changed: an absolute threshold, or a positive metric, no longer lowers the rate.")
if negative < -9.9 or rate != 1.0:
    sys.exit("The behaviour has changed: the rate of a negative metric that gets worse is lowered.")
print("As described: a negative metric may get worse without end, and the learning rate stays.")
PY
