#!/usr/bin/env bash
# The mean pixel of a dataset the size of CIFAR-10 is 0.33 by NumPy instead of 0.50, if its float32 images are NHWC.
#
# Software: numpy 2.4.6.
#
# Expected: images.mean(axis=(0, 1, 2)) is right to about six digits. NumPy sums pairwise, which keeps the error of
# float32 small for billions of numbers, and the same call on NCHW images is right.
#
# Found: NumPy sums pairwise only along the axis that is contiguous in memory. In NHWC that is the channels, which are
# kept; the sum over pixels adds them one by one to three float32 sums. Each sum stops growing near 2^24, because from
# there on a pixel below 1 is less than half of the distance to the next float32. Once the sums have reached 2^24, the
# mean is 2^24 / (number of pixels), whatever the images show. The standard deviation is wrong with it. A transposed
# view does not help (memory order decides), a copy in NCHW does, and so does dtype=numpy.float64.
#
# Output: 50,000 images of 32x32 with uniformly random pixels (mean 0.5, standard deviation 0.28868):
#   NHWC mean 0.32768 0.32768 0.32768, deviation 0.3145 0.3143 0.3140; NCHW mean 0.5003 0.5002 0.5001, deviation 0.2888.
#   The first 10,000 images (a try on a part, or the test split) give the right mean in NHWC: 0.500.
#
# Why it matters: mean and standard deviation of one's own images are computed once and then normalise every input.
# Three equal numbers near 0.33 look plausible (dark images), nothing warns, and a check on a part of the data, or of
# a single channel (images[..., 0].mean()), passes. NumPy's reference mentions low precision for float32; one does not
# read that as an error of a third. uint8 images are safe: NumPy takes the mean of integers in float64.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv numpy==2.4.6

# Takes about 1.3 GB of memory.
"$work/venv/bin/python" - <<'PY'
import sys

import numpy as np

print(f"NumPy {np.__version__}")
random = np.random.default_rng(0)
# 1,000 random images, repeated 50 times: as good as 50,000 for a mean, and quicker to make.
images = np.tile(random.random((1000, 32, 32, 3), np.float32), (50, 1, 1, 1))
print(f"{images.shape}, {images.dtype}, {images.nbytes / 1e6:.0f} MB")


def show(what, numbers):
    print(f"{what:48}", " ".join(f"{number:.5f}" for number in numbers))
    return numbers


nhwc = show("NHWC: mean", images.mean(axis=(0, 1, 2)))
part = show("NHWC: mean of the first 10,000", images[:10000].mean(axis=(0, 1, 2)))
view = show("NHWC, seen as NCHW by transpose: mean", images.transpose(0, 3, 1, 2).mean(axis=(0, 2, 3)))
wide = show("NHWC: mean with dtype=numpy.float64", images.mean(axis=(0, 1, 2), dtype=np.float64))
deviation = show("NHWC: standard deviation", images.std(axis=(0, 1, 2)))
images = np.ascontiguousarray(images.transpose(0, 3, 1, 2))
nchw = show("NCHW: mean", images.mean(axis=(0, 2, 3)))
show("2^24 / number of pixels", [2**24 / (50000 * 32 * 32)])

if not np.allclose(nchw, wide, atol=1e-3) or not np.allclose(part, wide, atol=1e-2):
    sys.exit("The behaviour has changed: the mean in NCHW, or that of a part, is no longer right.")
if np.abs(nhwc - wide).max() < 0.1 or np.abs(view - wide).max() < 0.1 or np.abs(deviation - 0.28868).max() < 0.01:
    sys.exit("The behaviour has changed: NumPy's mean or deviation of the NHWC images is close to the right one.")
print("As described: the mean of the float32 NHWC images is off by a third, in silence.")
PY
