#!/usr/bin/env bash
# Every new thread draws the same "random" numbers from OpenCV, and no seed that the main thread sets reaches it.
#
# Software: opencv-python-headless 5.0.0.93 (OpenCV 5.0.0), numpy 2.4.6.
#
# Expected: cv2.setRNGSeed(seed) seeds the process. Threads that call cv2.randn then draw different numbers from one
# generator, as they do with numpy.random.normal and random.gauss; another seed gives other numbers.
#
# Found: each thread has its own generator, each starts from the same constant, and setRNGSeed seeds only the
# generator of the thread that calls it. So all threads of a pool draw the same sequence; a pool that is made anew for
# each epoch draws that sequence again in each epoch; and the seed that the main thread sets changes none of it.
#
# Output: "8 threads, 3 epochs, 2 seeds: 48 noise images, 1 of them distinct" for OpenCV, 48 for NumPy.
#
# Why it matters: OpenCV releases the GIL, so images are often decoded and augmented in a thread pool, and cv2.randn
# is a short way to Gaussian noise. The "noise" is then one fixed sequence, added to each thread's images, in each
# epoch, for each seed; runs with different seeds are not independent. Nothing is reported, and a test in the main
# thread shows correct, reproducible noise. cv2.randu, cv2.randShuffle and cv2.kmeans draw from the same generator.
# Call cv2.setRNGSeed in each worker thread (initializer of ThreadPoolExecutor) with a number of its own.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv opencv-python-headless==5.0.0.93 numpy==2.4.6

"$work/venv/bin/python" - <<'PY'
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

THREADS, EPOCHS, SEEDS = 8, 3, (1, 2)
print(f"OpenCV {cv2.__version__}, NumPy {np.__version__}")


def opencv_noise(shape):
    noise = np.empty(shape, np.float32)
    cv2.randn(noise, 0, 1)
    return noise


def numpy_noise(shape):
    return np.random.normal(size=shape).astype(np.float32)


def noise_of_threads(draw, own_seed=None):
    """Returns the noise image that each thread of a new pool draws first."""
    together = threading.Barrier(THREADS)  # Makes each thread take exactly one task.

    def task(_):
        together.wait()
        return draw((32, 32)).tobytes()

    with ThreadPoolExecutor(THREADS, initializer=own_seed) as pool:
        return list(pool.map(task, range(THREADS)))


def distinct(draw, set_seed):
    images = []
    for seed in SEEDS:
        set_seed(seed)
        for _ in range(EPOCHS):
            images += noise_of_threads(draw)
    return len(images), len(set(images))


images, of_opencv = distinct(opencv_noise, cv2.setRNGSeed)
_, of_numpy = distinct(numpy_noise, np.random.seed)
heading = f"{THREADS} threads, {EPOCHS} epochs, {len(SEEDS)} seeds: {images} noise images"
print(f"cv2.randn:           {heading}, {of_opencv} of them distinct")
print(f"numpy.random.normal: {heading}, {of_numpy} of them distinct")

cv2.setRNGSeed(1)
one = opencv_noise((32, 32))
cv2.setRNGSeed(2)
print(f"In the main thread, two seeds give the same noise: {np.array_equal(one, opencv_noise((32, 32)))}")

counter = iter(range(THREADS))
seeded = noise_of_threads(opencv_noise, lambda: cv2.setRNGSeed(1000 + next(counter)))
print(f"With a seed of its own for each thread: {len(set(seeded))} of {THREADS} distinct")

if of_numpy != images or len(set(seeded)) != THREADS:
    sys.exit("The comparison is not valid: NumPy's noise or the threads' own seeds gave repeated images.")
if of_opencv != 1:
    sys.exit(f"The behaviour has changed: OpenCV's threads drew {of_opencv} distinct images, expected 1.")
print("As described: every thread draws the same noise, whatever seed the main thread sets.")
PY
