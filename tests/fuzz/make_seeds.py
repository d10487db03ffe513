#!/usr/bin/env python3
"""Writes the seeds of the fuzz targets, with the programs and Python packages that make such files.

    make_seeds.py FINETUNE PREPARE_DATASET

Writes the seeds into the folder seeds beside this script, which is committed. Needs torch and numpy
(bench/setup_peer.sh installs both). Checkpoints and images are copied from tests/fixtures, where other scripts
make them.
"""

import collections
import gzip
import hashlib
import io
import json
import pathlib
import pickle
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile

import numpy
import torch

HERE = pathlib.Path(__file__).resolve().parent
FIXTURES = HERE.parent / "fixtures"
LINE = b"\n----\n"


def write(target, name, content):
    folder = HERE / "seeds" / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(content)


def pickles():
    for path in sorted((FIXTURES / "checkpoint").glob("*.pth")):
        if zipfile.is_zipfile(path) and path.stem != "no_checksums" and not path.stem.startswith("evil_"):
            with zipfile.ZipFile(path) as archive:
                for name in archive.namelist():
                    if name.endswith("/data.pkl"):
                        write("pickle", path.stem + ".pkl", archive.read(name))
    shared = ["shared"]
    value = collections.OrderedDict(
        none=None, flags=(True, False), numbers=[0, 255, 65535, -1, 2**31, 2**63, -(2**70), 0.5], text="\u00e4\u4e2d",
        raw=b"\x00\xff", more={1: shared, "b": shared, (1, 2): {1, 2}}, frozen=frozenset([3]))
    for protocol in range(2, 6):
        write("pickle", f"plain_{protocol}.pkl", pickle.dumps(value, protocol=protocol))
        array = numpy.arange(6, dtype=numpy.uint8).reshape(2, 3)
        write("pickle", f"array_{protocol}.pkl", pickle.dumps({"data": array, "labels": [0, 1]}, protocol=protocol))


def old_files():
    """Writes a checkpoint in torch.save's legacy format and in its ZIP format. Its tensors differ in type, shape and strides."""
    base = torch.arange(24, dtype=torch.float32)
    value = {
        "state_dict": collections.OrderedDict(
            a=base.view(2, 3, 4), b=base.view(4, 6).t(), c=base[3:7], empty=torch.empty(0, 3), scalar=torch.tensor(1.5),
            half=torch.ones(3, dtype=torch.float16), flags=torch.tensor([True, False]), long=torch.arange(3)),
        "meta": {"epoch": 1, "iteration": 10, "names": ["cat", "dog"]},
    }
    for name, zipped in (("views_legacy.pth", False), ("views_zip.pth", True)):
        torch.serialization.set_crc32_options(False)
        stream = io.BytesIO()
        torch.save(value, stream, _use_new_zipfile_serialization=zipped)
        write("checkpoint", name, stream.getvalue())


def own_safetensors():
    """Writes a safetensors file with the metadata of `finetune export`."""
    tensors = struct.pack("<4f", 1, 2, 3, 4)
    header = {
        "__metadata__": {
            "writer": "finetune 0.1.0", "format_version": "1", "class_names": '["cat","dog"]', "mean": "[127.0]", "std": "[58.5]",
            "val_data": '{"split":"test","pictures":3,"encoded":true}', "config": "name: \"a\"\n",
            "tensors_sha256": hashlib.sha256(tensors).hexdigest()},
        "w": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}}
    text = json.dumps(header, separators=(",", ":")).encode()
    write("checkpoint", "own.safetensors", struct.pack("<Q", len(text)) + text + tensors)


def configs():
    base = b"""model { backbone { resnet { depth: 18 frozen_stages: 1 } } head { num_classes: 4 } }
schedule { max_epochs: 3 multi_step { milestones: [1, 2] } }
"""
    main = b"""import: "base.pbtxt"
reset: "model.backbone.resnet.frozen_stages"
data {
  train { path: "d" split: "train" batch_size: 16 pipeline { random_crop { size: 32 padding: 4 } } pipeline { normalize {} } }
  val { path: "d" split: "test" batch_size: 8 }
}
optimizer { sgd { lr: 0.05 momentum: 0.9 } }
runtime { log_interval: 1  # a comment
}
"""
    overrides = b"""optimizer.sgd.lr=0.02
data.train.pipeline[0].random_crop.size=28
model.backbone.resnet.depth=50
schedule.multi_step.milestones=[3,4]
"""
    write("config", "whole", main + LINE + base + LINE + overrides)
    write("config", "cycle", b'import: "base.pbtxt"\n' + LINE + b'import: "main.pbtxt"\n' + LINE)
    write("config", "other_member", b'import: "base.pbtxt"\noptimizer { adamw { lr: 1e-3 } }\n' + LINE + base + LINE +
          b"optimizer.sgd.lr=1\n")
    write("config", "wrong", b'model { backbone { resnet { depht: 18 } } }\nname: "\\x41\\n' + LINE + LINE + b"a.b=c\n=\n")


def archives():
    def fill(add):
        add("set/train/cat/1.jpg", b"one")
        add("set/train/dog/2.jpg", b"two" * 300)
        add("set/data_batch_1.bin", bytes(100))

    for mode, name in (("w:", "plain.tar"), ("w:gz", "gzip.tar.gz"), ("w:xz", "xz.tar.xz"), ("w:bz2", "bzip2.tar.bz2")):
        for style, number in (("gnu", tarfile.GNU_FORMAT), ("pax", tarfile.PAX_FORMAT)):
            stream = io.BytesIO()
            with tarfile.open(fileobj=stream, mode=mode, format=number) as archive:
                def add(path, content):
                    entry = tarfile.TarInfo(path)
                    entry.size = len(content)
                    archive.addfile(entry, io.BytesIO(content))
                fill(add)
                link = tarfile.TarInfo("set/link")
                link.type, link.linkname = tarfile.SYMTYPE, "../outside"
                archive.addfile(link)
            write("archive", f"{style}_{name}", stream.getvalue())
    for method, name in ((zipfile.ZIP_STORED, "stored.zip"), (zipfile.ZIP_DEFLATED, "deflated.zip")):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w", method) as archive:
            fill(archive.writestr)
        write("archive", name, stream.getvalue())
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        packed = gzip.compress(bytes(50), mtime=0)
        entry = tarfile.TarInfo("train-labels-idx1-ubyte.gz")
        entry.size = len(packed)
        archive.addfile(entry, io.BytesIO(packed))
    write("archive", "gzip_inside.tar", stream.getvalue())


def lists():
    write("list", "numbers", b"a.ppm 0\na.ppm 1\n")
    write("list", "names", b"a.ppm cat\na.ppm dog\n" + LINE + b"dog\ncat\n")
    write("list", "table", b'path,label,split\n"a.ppm","cat, or ""dog""",train\na.ppm,dog,val\n')


def idx():
    def images(count, height, width):
        return struct.pack(">IIII", 0x803, count, height, width) + bytes(count * height * width)

    def labels(values):
        return struct.pack(">II", 0x801, len(values)) + bytes(values)

    write("idx", "digits", images(10, 2, 3) + LINE + labels(range(10)))
    write("idx", "letters", images(3, 2, 2) + LINE + labels([1, 2, 3]) + LINE + b"1 65 97\n2 66 98\n3 67 99\n")


def cifar():
    write("cifar", "binary_10", b"".join(bytes([label]) + bytes(3072) for label in range(2)))
    write("cifar", "binary_100", b"".join(bytes([0, label]) + bytes(3072) for label in range(2)))
    values = {
        "data": numpy.zeros((2, 3072), dtype=numpy.uint8), "labels": [0, 1], "fine_labels": [0, 99],
        "label_names": [str(i) for i in range(10)], "fine_label_names": [str(i) for i in range(100)],
    }
    for protocol in (2, 4):
        write("cifar", f"python_{protocol}", pickle.dumps(values, protocol=protocol))
        write("cifar", f"python_{protocol}_bytes",
              pickle.dumps({key.encode(): value for key, value in values.items()}, protocol=protocol))


def runs(finetune, prepare_dataset):
    """Writes the files that finetune and prepare_dataset themselves write: records, events and manifests."""
    with tempfile.TemporaryDirectory() as folder:
        data = f"{folder}/data"
        subprocess.run([prepare_dataset, "synthetic", "--classes=4", "--train=16", "--test=8", "--shards=2", f"--output={data}"],
                       check=True, stdout=subprocess.DEVNULL)
        write("manifest", "synthetic.pbtxt", pathlib.Path(data, "manifest.pbtxt").read_bytes())
        photos = pathlib.Path(folder, "photos")
        for label in ("cat", "dog"):
            (photos / label).mkdir(parents=True)
            for name in ("plain.jpg", "grey.jpg"):
                shutil.copy(FIXTURES / "pictures" / name, photos / label)
        subprocess.run([prepare_dataset, "image_folder", f"--input={photos}", "--store=encoded", f"--output={folder}/encoded"],
                       check=True, stdout=subprocess.DEVNULL)
        text = pathlib.Path(folder, "encoded", "manifest.pbtxt").read_bytes()
        write("manifest", "encoded_unsealed.pbtxt", text[:text.rindex(b"\n", 0, -1) + 1])
        config = pathlib.Path(folder, "small.pbtxt")
        config.write_text(f"""
model {{ backbone {{ resnet {{ depth: 18 stem: CIFAR base_channels: 4 }} }} head {{ num_classes: 4 }} }}
data {{ train {{ path: "{data}" split: "train" total_batch_size: 8 pipeline {{ normalize {{}} }} }}
        val {{ path: "{data}" split: "test" total_batch_size: 8 pipeline {{ normalize {{}} }} }} }}
optimizer {{ sgd {{ lr: 0.05 momentum: 0.9 }} }} schedule {{ max_epochs: 2 multi_step {{ milestones: 1 }} }} runtime {{ log_interval: 1 }}
""")
        subprocess.run([finetune, f"--config={config}", f"--work_dir={folder}/run", "--quiet"], check=True)
        run = pathlib.Path(folder, "run")
        write("records", "run.jsonl", next(run.glob("*.jsonl")).read_bytes().replace(folder.encode(), b"/data"))
        write("events", "finetune", next(run.glob("events.*")).read_bytes())


def main():
    shutil.rmtree(HERE / "seeds", ignore_errors=True)
    pickles()
    old_files()
    own_safetensors()
    configs()
    archives()
    lists()
    idx()
    cifar()
    write("records", "cut", b'{"mode":"train","iteration":3,"loss":null}\n{"mode":"val","iteration":3,"accuracy":{"top1":0.5}}\n{"mo')
    runs(sys.argv[1], sys.argv[2])


if __name__ == "__main__":
    main()
