"""For tests/peers/parquet.sh: writes a data set as the Hugging Face Hub stores it, and checks what became of it.

    parquet.py write FOLDER            FOLDER/data/*.parquet: three training files and one of test images, of three classes
    parquet.py refuse FOLDER PROGRAM   runs data_tools/parquet_to_tar.py (PROGRAM) on inputs that it must refuse
    parquet.py compare FOLDER          compares FOLDER/shards, made from FOLDER/tars, with the images that were written
"""
import io
import json
import pathlib
import subprocess
import sys

import pyarrow
import pyarrow.parquet
from PIL import Image

NAMES = ["zebra", "ant", "red panda"]
FILES = {"train-00000-of-00003": 70, "train-00001-of-00003": 1, "train-00002-of-00003": 5, "test-00000-of-00001": 9}


def image(number):
    """A file of one colour and of a size of its own."""
    picture = Image.new("RGB", (20 + number % 7, 30), (number % 256, 255 - number % 256, 77))
    out = io.BytesIO()
    picture.save(out, "PNG" if number % 2 else "JPEG")
    return out.getvalue()


def files():
    """Yields (name, first number, count) of each file."""
    first = 0
    for name, count in FILES.items():
        yield name, first, count
        first += count


def write_table(path, images, labels):
    features = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}
    schema = pyarrow.schema([("image", pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])),
                             ("label", pyarrow.int64())],
                            metadata={"huggingface": json.dumps({"info": {"features": features}})})
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.table({"image": images, "label": labels}, schema=schema), path)


def write(folder):
    for name, first, count in files():
        numbers = range(first, first + count)
        write_table(folder / "data" / f"{name}.parquet", [{"bytes": image(n), "path": f"{n}.png"} for n in numbers],
                    [n % 3 for n in numbers])


def refuse(folder, program):
    good = {"bytes": image(0), "path": "0.jpg"}
    for case, (name, images, labels, expected) in enumerate((
        ("train-0", [{"bytes": None, "path": "a.jpg"}], [0], "row 0: holds only the path 'a.jpg' of its image"),
        ("train-0", [good, {"bytes": b"", "path": None}], [0, 1], "row 1: has no image"),
        ("train-0", [good], [3], "row 0: has the label 3; expected 0 to 2"),
        ("train-0", [good], [None], "row 0: has no label"),
        ("train-0", [{"bytes": b"text", "path": None}], [0], "image 0 is of a kind that prepare_dataset does not read"),
        ("rows", [good], [0], "expected a name, or a folder's, that begins with train, val or test"),
        ("test-0", [good], [0], "has no training images"),
    )):
        place = folder / f"wrong{case}"
        write_table(place / "in" / f"{name}.parquet", images, labels)
        run = subprocess.run([sys.executable, program, f"--input={place}/in", f"--output={place}/out"], capture_output=True, text=True)
        assert run.returncode == 2 and expected in run.stderr, run
        assert not list(place.glob("out/*")), "left a file behind"
    truncated = folder / "truncated" / "in"
    truncated.mkdir(parents=True)
    whole = (folder / "data" / "train-00000-of-00003.parquet").read_bytes()
    (truncated / "train-0.parquet").write_bytes(whole[: len(whole) // 2])
    run = subprocess.run([sys.executable, program, f"--input={truncated}", f"--output={truncated}/../out"], capture_output=True, text=True)
    assert run.returncode == 1, run


def compare(folder):
    import h5py

    manifest = (folder / "shards" / "manifest.pbtxt").read_text()
    classes = [line.split('"')[1] for line in manifest.splitlines() if line.startswith("class_name:")]
    assert classes == sorted(NAMES), classes
    found = {}
    for split in ("train", "test"):
        for shard in sorted((folder / "shards").glob(f"{split}-*.h5")):
            with h5py.File(shard) as data:
                offsets = data["offsets"][:]
                for i, label in enumerate(data["labels"][:]):
                    found[data["bytes"][offsets[i] : offsets[i + 1]].tobytes()] = (split, classes[label])
    expected = {}
    for name, first, count in files():
        for number in range(first, first + count):
            expected[image(number)] = (name.split("-")[0], NAMES[number % 3])
    assert found == expected, (len(found), len(expected))
    print(f"{len(found)} images have their bytes, split and class")


if __name__ == "__main__":
    commands = {"write": write, "refuse": refuse, "compare": compare}
    commands[sys.argv[1]](pathlib.Path(sys.argv[2]), *sys.argv[3:])
