"""Reads the features that finetune predict writes by h5py, and holds them against those that it writes as .npy.

Usage: check_features.py WORK_FOLDER BAZEL_BIN (see tools.sh)
"""

import json
import os
import subprocess
import sys

import h5py
import numpy as np

CONFIG = """
name: "features"
model { backbone { resnet { depth: 18 stem: CIFAR base_channels: 4 } } head { num_classes: 2 topk: 1 } }
data {
  train { path: "DATA" split: "train" total_batch_size: 8 pipeline { normalize {} } }
  val { path: "DATA" split: "test" total_batch_size: 8 pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.01 } }
schedule { max_epochs: 1 constant {} }
"""


def main():
    work, programs = (os.path.abspath(path) for path in sys.argv[1:])
    data, config, images = (os.path.join(work, name) for name in ("data", "config.pbtxt", "images"))
    finetune = os.path.join(programs, "src/main/finetune")
    subprocess.run([os.path.join(programs, "data_tools/prepare_dataset"), "synthetic", "--classes=2", "--train=16", "--test=8",
                    "--output=" + data], check=True, stdout=subprocess.DEVNULL)
    with open(config, "w") as out:
        out.write(CONFIG.replace("DATA", data))
    subprocess.run([finetune, "--config=" + config, "--work_dir=" + os.path.join(work, "run"), "--quiet"], check=True)
    random = np.random.default_rng(0)
    # One folder has a class's name, one has not; one file is no image.
    for folder in ("angle_90", "\N{LATIN SMALL LETTER A WITH DIAERESIS}"):
        os.makedirs(os.path.join(images, folder))
        for i in range(40):
            with open(os.path.join(images, folder, f"{i:02}.ppm"), "wb") as out:
                out.write(b"P6 32 32 255\n" + random.integers(0, 256, (32, 32, 3), dtype=np.uint8).tobytes())
    with open(os.path.join(images, "broken.png"), "wb") as out:
        out.write(b"hello")

    found = {}
    for ending in ("npy", "h5"):
        out = os.path.join(work, "features." + ending)
        run = subprocess.run([finetune, "predict", "--checkpoint=" + os.path.join(work, "run/latest.pth"), images,
                              "--features=backbone", "--features_out=" + out], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert run.returncode == 1, f"the exit code is {run.returncode}, expected 1 because of the broken image"
        found[ending] = out, [json.loads(line) for line in run.stdout.splitlines()]
    plain = np.load(found["npy"][0])
    path, rows = found["h5"]
    with h5py.File(path) as file:
        assert sorted(file) == ["class_names", "features", "label", "path"], sorted(file)
        assert file["features"].dtype == np.float32 and file["label"].dtype == np.int64
        names = list(file["class_names"].asstr()[:])
        np.testing.assert_array_equal(file["features"][:], plain)
        assert list(file["path"].asstr()[:]) == [row["path"] for row in rows]
        bad = np.array(["error" in row for row in rows])
        assert bad.sum() == 1 and (np.isnan(file["features"][:]).all(axis=1) == bad).all()
        folders = [os.path.basename(os.path.dirname(row["path"])) for row in rows]
        assert list(file["label"][:]) == [names.index(folder) if folder in names else -1 for folder in folders]
        assert (file["label"][:] >= 0).sum() == 40
    print(f"h5py {h5py.__version__} reads {len(rows)} features of {plain.shape[1]} channels as finetune wrote them")


if __name__ == "__main__":
    main()
