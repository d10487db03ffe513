#!/usr/bin/env bash
# Writing an array of labels to a small integer dataset of HDF5 merges all classes that do not fit into the last one.
#
# Software: h5py 3.16.0 (HDF5 2.0.0), numpy 2.4.6.
#
# Expected: an error, as NumPy raises for a Python integer that does not fit ("out of bounds for uint8"), or that
# numbers wrap around, as NumPy's astype does; a wrapped label (256 -> 0) soon shows up as nonsense.
#
# Found: h5py gives the array to HDF5 as it is, and HDF5 converts it by saturation: every label above 255 becomes 255,
# every negative label 0, without an error or a warning. The same holds for reading: dataset.astype("u1")[...]
# saturates where dataset[...].astype("u1") wraps, though the two look like one. Whether there is an error depends on
# the container: create_dataset(data=list, dtype="u1") raises OverflowError, create_dataset(data=array, dtype="u1")
# saturates.
#
# Output: ImageNet's 1,000 labels in a uint8 dataset: 256 classes are left, and 745 of the 1,000 are class 255. A
# dataset of int8 leaves 128 classes, 873 of them in class 127. The label -1 ("unlabelled") becomes class 0 in uint8.
#
# Why it matters: "uint8" is what one writes next to the images, and the file looks sound: the right number of rows,
# all labels in a valid range, no gaps. Training works and reports an accuracy, for a class that is 745 classes.
# Compare numpy.array_equal(labels, dataset[...]) after writing, or let NumPy convert with numpy.asarray and a range
# check.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv h5py==3.16.0 numpy==2.4.6

"$work/venv/bin/python" -W error - "$work/labels.h5" <<'PY'
import sys

import h5py
import numpy as np

print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}, NumPy {np.__version__}")
labels = np.arange(1000)
failures = []


def expect(what, seen, expected):
    print(f"{what}: {seen}")
    if seen != expected:
        failures.append(f"{what}: expected {expected}, found {seen}")


with h5py.File(sys.argv[1], "w") as file:
    for dtype, last in (("u1", 255), ("i1", 127)):
        dataset = file.create_dataset(f"labels_{dtype}", labels.shape, dtype)
        dataset[...] = labels
        written = dataset[...]
        expect(f"Classes left in {dtype}", len(np.unique(written)), last + 1)
        expect(f"Labels that became {last}", int((written == last).sum()), 1000 - last)

    dataset = file.create_dataset("unlabelled", (2,), "u1")
    dataset[...] = np.array([-1, 7])
    expect("-1 and 7 in u1", dataset[...].tolist(), [0, 7])

    made = file.create_dataset("made", data=labels, dtype="u1")
    expect("create_dataset(data=array): the last label", int(made[-1]), 255)
    try:
        file.create_dataset("made_of_list", data=labels.tolist(), dtype="u1")
        outcome = "no error"
    except OverflowError:
        outcome = "OverflowError"
    expect("create_dataset(data=list)", outcome, "OverflowError")

    wide = file.create_dataset("wide", data=labels)
    expect('dataset.astype("u1")[-1]', int(wide.astype("u1")[-1]), 255)
    expect('dataset[...].astype("u1")[-1]', int(wide[...].astype("u1")[-1]), 999 % 256)

if failures:
    sys.exit("The behaviour has changed: " + "; ".join(failures) + ".")
print("As described: labels that do not fit are merged into the last class, in silence.")
PY
