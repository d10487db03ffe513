#!/usr/bin/env bash
# A data set of HDF5 shards that are joined by a virtual dataset reads a missing shard as black images of class 0,
# without an error, and its length stays the same.
#
# Software: h5py 3.16.0 with HDF5 2.0.0, numpy 2.4.6.
#
# Expected: a shard that is not there is an error when the file is opened, or at least when its rows are read, as it is
# when one opens the shard itself.
#
# Found: the rows of a source that cannot be opened are the fill value, which is 0 unless one was set. A moved shard,
# one that the node cannot see, and one whose dataset has another name are alike. The shape comes from the layout, so
# the count of images is right. is_virtual and virtual_sources() list the names; nothing tells which of them are there.
# A shard that is there but was cut does raise an error, which makes one trust that a missing one would.
#
# Output: four shards of five images, labels 1 to 4, joined; then the third is moved:
#   before 1 1 1 1 1 2 2 2 2 2 3 3 3 3 3 4 4 4 4 4
#   after  1 1 1 1 1 2 2 2 2 2 0 0 0 0 0 4 4 4 4 4
#   The same after the third's dataset is renamed. Cut to half of its bytes it raises OSError (truncated file).
#
# Why it matters: 0 is a valid label and black a valid image. A node whose copy of the data is not complete trains on
# a quarter of black images that are all of the first class, next to ranks that see the real ones. The loss looks fine.
# With a fill value outside the labels (h5py: create_virtual_dataset(..., fillvalue=-1)) the labels show it, images do not.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv h5py==3.16.0 numpy==2.4.6

cd "$work"
"$work/venv/bin/python" - <<'PY'
import os
import shutil
import sys

import h5py
import numpy as np

print(f"h5py {h5py.__version__}, HDF5 {h5py.version.hdf5_version}")


def write(shard, name="labels"):
    with h5py.File(f"shard{shard}.h5", "w") as file:
        file[name] = np.full(5, shard + 1, np.int64)
        file["images"] = np.full((5, 3, 8, 8), 100 + shard, np.uint8)


for shard in range(4):
    write(shard)
labels = h5py.VirtualLayout((20,), np.int64)
images = h5py.VirtualLayout((20, 3, 8, 8), np.uint8)
for shard in range(4):
    part = slice(5 * shard, 5 * shard + 5)
    labels[part] = h5py.VirtualSource(f"shard{shard}.h5", "labels", shape=(5,))
    images[part] = h5py.VirtualSource(f"shard{shard}.h5", "images", shape=(5, 3, 8, 8))
with h5py.File("all.h5", "w") as file:
    file.create_virtual_dataset("labels", labels)
    file.create_virtual_dataset("images", images)


def read(label):
    with h5py.File("all.h5") as file:
        print(f"{label:28}", *file["labels"][:], "  pixel of each shard:", *file["images"][::5, 0, 0, 0])
        return list(file["labels"][:]), list(file["images"][::5, 0, 0, 0])


whole = read("all four shards")
shutil.move("shard2.h5", "elsewhere.h5")
moved = read("the third is moved")
with open("elsewhere.h5", "rb") as file:
    content = file.read()
with open("shard2.h5", "wb") as file:
    file.write(content[:len(content) // 2])
try:
    read("the third is cut")
    raised = False
except OSError as error:
    print(f"{'the third is cut':28} OSError: {error}")
    raised = True
os.remove("shard2.h5")
write(2, name="targets")
renamed = read("its labels are renamed")

lost = [1] * 5 + [2] * 5 + [0] * 5 + [4] * 5
if whole != ([1] * 5 + [2] * 5 + [3] * 5 + [4] * 5, [100, 101, 102, 103]):
    sys.exit("The behaviour has changed: whole shards are no longer read through the virtual dataset.")
if moved != (lost, [100, 101, 0, 103]) or renamed[0] != lost:
    sys.exit("The behaviour has changed: the rows of a missing shard are not 0 any more.")
if not raised:
    sys.exit("The behaviour has changed: a shard that was cut raises no error.")
print("As described: a missing shard is read as black images of class 0, in silence.")
PY
