#!/usr/bin/env python3
"""Converts images in Parquet files, as the Hugging Face Hub stores them, to WebDataset tars for prepare_dataset.

    data_tools/parquet_to_tar.py --input=FOLDER --output=FOLDER [--image=COLUMN] [--label=COLUMN]
    prepare_dataset image_folder --input=FOLDER --output=DATA

The input folder contains files such as train-00000-of-00002.parquet or train/0000.parquet, at any depth. The split of a file is train,
val or test: the one with which the file's name begins, or otherwise the name of the nearest folder above the file that begins with one
of the three. Each split becomes one tar: train.tar, val.tar or test.tar. Images are copied byte for byte. Beside each image is a .cls
file with its class: the class name if the Parquet file's features name the classes (ClassLabel), otherwise the label itself.

The image column holds structs of `bytes` and `path`, or plain binary values. The image column and the label column are found by the
features that the Hub's `datasets` library writes into each file. If a file has no such column, or several, name them with --image and
--label.

Needs: pip install --require-hashes -r data_tools/parquet-requirements.txt

At most 64 images are in memory at a time. An output file is complete or does not exist. Exit codes: 0 done; 1 a file cannot be read or
written; 2 the flags or the input are wrong.
"""

import argparse
import io
import json
import os
import pathlib
import sys
import tarfile

SPLITS = ("train", "val", "test")
ROWS = 64  # the number of rows that are read at a time
# Pairs of the first bytes of an image file and the ending for its name. prepare_dataset decides the format by the content, so it only
# matters that the ending is one of an image.
ENDINGS = ((b"\xff\xd8", "jpg"), (b"\x89PNG", "png"), (b"GIF8", "gif"), (b"BM", "bmp"), (b"RIFF", "webp"), (b"II*\0", "tif"),
           (b"MM\0*", "tif"))


class InputError(Exception):
    """A mistake in the input or the flags, as a sentence for the user."""


def split_of(file, top):
    """Returns the split with which the file's name begins. If it begins with none, returns the split of the nearest folder between `top`
    and the file whose name begins with one."""
    for part in reversed(file.relative_to(top).parts):
        for split in SPLITS:
            if part.lower().startswith(split):
                return split
    raise InputError(f"{file}: expected a name, or a folder's, that begins with train, val or test")


def features_of(schema):
    """Returns the features that the Hub's datasets library writes into a file: {column: {"_type": "ClassLabel", ...}}. Returns {} if
    the file has none."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return {}
    try:
        features = json.loads(text)["info"]["features"]
    except (ValueError, KeyError, TypeError):
        return {}
    return features if isinstance(features, dict) else {}


def column_of(file, schema, features, kind, flag, given):
    """Returns the only column whose feature has the type `kind`, or the column `given` if that is not None. `flag`: the flag that
    names the column, for the error."""
    if given is not None:
        if given not in schema.names:
            raise InputError(f"{file}: has no column {given} ({flag}); it has {', '.join(schema.names)}")
        return given
    found = [name for name, feature in features.items()
             if isinstance(feature, dict) and feature.get("_type") == kind and name in schema.names]
    if len(found) == 1:
        return found[0]
    number = "several columns" if found else "no column"
    raise InputError(f"{file}: has {number} of type {kind}; give {flag}=COLUMN, one of {', '.join(found or schema.names)}")


def bytes_of(value, where):
    if isinstance(value, dict):
        path, value = value.get("path"), value.get("bytes")
        if value is None and path is not None:
            raise InputError(f"{where}: holds only the path {path!r} of its image; expected its bytes")
    if not isinstance(value, bytes) or not value:
        raise InputError(f"{where}: has no image")
    return value


def class_of(value, names, where):
    if isinstance(value, int) and names is not None:
        if not 0 <= value < len(names):
            raise InputError(f"{where}: has the label {value}; expected 0 to {len(names) - 1}")
        value = names[value]
    if value is None or not str(value).strip():
        raise InputError(f"{where}: has no label")
    return str(value)


def rows(files, flags):
    """Yields (bytes of the image, class name) for each row of the files."""
    import pyarrow.parquet

    for file in files:
        with pyarrow.parquet.ParquetFile(file) as table:
            schema = table.schema_arrow
            features = features_of(schema)
            image = column_of(file, schema, features, "Image", "--image", flags.image)
            label = column_of(file, schema, features, "ClassLabel", "--label", flags.label)
            feature = features.get(label)
            names = feature.get("names") if isinstance(feature, dict) else None
            row = 0
            for batch in table.iter_batches(batch_size=ROWS, columns=[image, label]):
                for picture, value in zip(batch.column(image).to_pylist(), batch.column(label).to_pylist()):
                    where = f"{file}: row {row}"
                    yield bytes_of(picture, where), class_of(value, names, where)
                    row += 1


def add(tar, name, content):
    # TarInfo's defaults contain no time and no owner, so the same input gives the same bytes.
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def write_split(path, files, flags):
    """Writes a split's tar and returns the number of its images."""
    partial = path.with_name(path.name + ".partial")
    count = 0
    try:
        with tarfile.open(partial, "w", format=tarfile.USTAR_FORMAT) as tar:
            for content, name in rows(files, flags):
                ending = next((ending for start, ending in ENDINGS if content.startswith(start)), None)
                if ending is None:
                    raise InputError(f"{path.name}: image {count} is of a kind that prepare_dataset does not read")
                add(tar, f"{count:09d}.{ending}", content)
                add(tar, f"{count:09d}.cls", name.encode())
                count += 1
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    return count


def convert(flags):
    top = pathlib.Path(flags.input)
    files = sorted(top.rglob("*.parquet")) if top.is_dir() else []
    if not files:
        raise InputError(f"--input={flags.input}: expected a folder with .parquet files")
    by_split = {}
    for file in files:
        by_split.setdefault(split_of(file, top), []).append(file)
    if "train" not in by_split:
        raise InputError(f"--input={flags.input}: has no training images; found the splits {', '.join(sorted(by_split))}")
    output = pathlib.Path(flags.output)
    output.mkdir(parents=True, exist_ok=True)
    if any(output.iterdir()):
        raise InputError(f"--output={flags.output}: expected an empty folder, or none")
    for split in SPLITS:
        if split in by_split:
            path = output / f"{split}.tar"
            print(f"{path}: {write_split(path, by_split[split], flags)} images")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input", required=True, metavar="FOLDER")
    parser.add_argument("--output", required=True, metavar="FOLDER")
    parser.add_argument("--image", metavar="COLUMN")
    parser.add_argument("--label", metavar="COLUMN")
    flags = parser.parse_args()
    try:
        import pyarrow
    except ImportError:
        print("parquet_to_tar.py: pyarrow is not installed; run pip install --require-hashes -r "
              "data_tools/parquet-requirements.txt", file=sys.stderr)
        return 1
    try:
        convert(flags)
    except InputError as error:
        print(f"parquet_to_tar.py: {error}", file=sys.stderr)
        return 2
    except (OSError, pyarrow.ArrowException) as error:
        print(f"parquet_to_tar.py: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
