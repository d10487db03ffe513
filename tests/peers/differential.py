"""Compares what finetune reads from checkpoints with what torch.load and safetensors read: see differential.sh.

    differential.py DUMP_CHECKPOINTS [--files=N] [--seed=N]

Writes valid files of random content with the real packages, in batches, and compares all that is in them: types, sizes, strides,
offsets, which tensors share a storage, and every element. Then it changes headers of safetensors files at random: what both read must
be the same, and the rest is counted by its reason.
"""

import argparse
import collections
import hashlib
import json
import pathlib
import random
import re
import struct
import subprocess
import sys
import tempfile
import warnings

import safetensors
import safetensors.torch
import torch

warnings.filterwarnings("ignore")

PLAIN = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8,
         torch.bool, torch.complex64, torch.complex128]
NEW = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]
SAFETENSORS = [one for one in PLAIN if not one.is_complex] + NEW
NAMES = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16", "int64": "Long", "int32": "Int",
         "int16": "Short", "int8": "Char", "uint8": "Byte", "bool": "Bool", "complex64": "ComplexFloat", "complex128": "ComplexDouble",
         "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64", "float8_e4m3fn": "Float8_e4m3fn", "float8_e5m2": "Float8_e5m2"}


def elements(rng, count, dtype):
    """A flat tensor of random bits."""
    if dtype == torch.bool:
        return torch.tensor([rng.random() < 0.5 for _ in range(count)], dtype=torch.bool)
    size = torch.empty(0, dtype=dtype).element_size()
    return torch.frombuffer(bytearray(rng.randbytes(count * size)), dtype=dtype) if count else torch.empty(0, dtype=dtype)


def sizes_of(rng):
    return [rng.choice([0, 1, 1, 2, 2, 3, 4, 5]) if rng.random() < 0.9 else 1 for _ in range(rng.choice([0, 1, 1, 2, 2, 3, 4, 5]))]


def tensor(rng, types, flat, pool):
    """A tensor of one of many kinds: whole, a view, with other strides, expanded, or of the storage of one of `pool`."""
    if pool and rng.random() < 0.25:
        base = rng.choice(pool)
    else:
        base = elements(rng, rng.randrange(0, 40), rng.choice(types))
        pool.append(base)
    kind = rng.randrange(8)
    if kind == 0 or flat and kind < 5:
        sizes = sizes_of(rng)
        count = 1
        for size in sizes:
            count *= size
        return elements(rng, count, rng.choice(types)).reshape(sizes)
    if kind == 1:
        begin = rng.randrange(0, base.numel() + 1)
        return base[begin:rng.randrange(begin, base.numel() + 1)]
    if kind == 2 and base.numel() >= 6:
        return base[:6].view(2, 3).t()
    if kind == 3 and base.numel() > 0:
        return base[:1].expand(rng.randrange(1, 5), rng.randrange(1, 5))
    if kind == 4 and base.numel() >= 8:
        return base.as_strided((2, 3), (rng.randrange(0, 3), rng.randrange(0, 3)), rng.randrange(0, 2))
    if kind == 5:
        return base[::rng.randrange(1, 4)]
    if kind == 6 and base.numel() >= 24:
        return base[:24].view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last)
    return base


def value(rng, depth, pool, zipped):
    kind = rng.randrange(16 if depth < 4 else 12)
    if kind < 5:
        one = tensor(rng, PLAIN + (NEW if zipped else []), False, pool)
        if rng.random() < 0.15 and one.dtype == torch.float32:
            return torch.nn.Parameter(one.detach().clone(), requires_grad=rng.random() < 0.5)
        return one
    if kind == 5:
        return rng.choice([0, 1, -1, 255, 256, 65535, -2**31, 2**31, 2**62, -2**63, 2**63 - 1, rng.getrandbits(20)])
    if kind == 6:
        return rng.choice([0.0, -0.0, 1.5, float("inf"), float("nan"), rng.random(), -1e300])
    if kind == 7:
        return rng.choice(["", "text", "\u00e4\u4e2d\U0001f600", "x" * 300, "a\nb", "\x00"])
    if kind == 8:
        return rng.choice([None, True, False])
    if kind == 9:
        return rng.randbytes(rng.choice([0, 1, 5, 300]))
    if kind == 10:
        return torch.Size([rng.randrange(9) for _ in range(3)])
    if kind == 11:
        return {rng.randrange(5) for _ in range(rng.randrange(4))}
    if kind == 12:
        return [value(rng, depth + 1, pool, zipped) for _ in range(rng.randrange(4))]
    if kind == 13:
        return tuple(value(rng, depth + 1, pool, zipped) for _ in range(rng.randrange(5)))
    entries = [(rng.choice([f"key{i}", f"module.{i}.weight", i, "\u00e9" + str(i)]), value(rng, depth + 1, pool, zipped))
               for i in range(rng.randrange(5))]
    return collections.OrderedDict(entries) if kind == 14 else dict(entries)


class Dump:
    """The same lines as tests/dump_checkpoints.cc prints."""

    def __init__(self):
        self.values = []
        self.storages = {}

    def add(self, place, one):
        if isinstance(one, torch.Tensor):
            self.values.append([place, self.of_tensor(one.detach())])
        elif isinstance(one, dict):
            self.values.append([place, "dict"])
            for key, entry in one.items():
                self.add(f"{place}/{json.dumps(self.plain(key))}", entry)
        elif isinstance(one, (list, tuple, set, frozenset)):
            self.values.append([place, "list"])
            for i, entry in enumerate(one):
                self.add(f"{place}/{i}", entry)
        else:
            self.values.append([place, self.plain(one)])

    @staticmethod
    def plain(one):
        if one is None or isinstance(one, (bool, int)):
            return one
        if isinstance(one, float):
            return f"float {struct.unpack('<Q', struct.pack('<d', one))[0]:x}"
        if isinstance(one, str):
            return f"str {one.encode().hex()}"
        return f"bytes {bytes(one).hex()}"

    def of_tensor(self, one):
        whole = one.clone(memory_format=torch.contiguous_format).reshape(-1)
        content = bytes(whole.view(torch.uint8).numpy()) if whole.numel() else b""
        storage = -1
        if one.untyped_storage().nbytes() > 0:
            storage = self.storages.setdefault(one.untyped_storage().data_ptr(), len(self.storages))
        return [NAMES[str(one.dtype).removeprefix("torch.")], list(one.shape), list(one.stride()), one.storage_offset(), storage,
                hashlib.sha256(content).hexdigest()]


def peer_reads(path):
    """What the real package reads: its lines, or the error as {"error": text}.

    torch.load(weights_only=True) refuses some files that torch.save writes. This script wrote them, so that torch.load may read all of
    them; the reason of the refusal is then "refused".
    """
    refused = None
    try:
        content = safetensors.torch.load_file(path) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
    except Exception as error:  # pylint: disable=broad-except
        refused = f"{type(error).__name__}: {error}"
        if path.suffix == ".safetensors":
            return {"error": refused}
        found = re.search(r"WeightsUnpickler error:\s*(.*)", refused)
        refused = found[1] if found else refused
        content = torch.load(path, weights_only=False)
    dump = Dump()
    dump.add("", content)
    return {"values": dump.values, "refused": refused}


def in_order(read, ordered):
    """safetensors files have no order of their own, and each tensor has a storage of its own."""
    if ordered or "error" in read:
        return read
    head, *rest = read["values"]
    return {"values": [head] + sorted([place, [*one[:4], "-", one[5]]] for place, one in rest)}


class Comparison:
    def __init__(self, dump):
        self.dump = dump
        self.both = self.neither = 0
        self.only_ours = collections.Counter()
        self.only_theirs = collections.Counter()
        self.wrong = 0

    def run(self, paths):
        lines = subprocess.run([self.dump], input="".join(f"{path}\n" for path in paths), text=True, capture_output=True, check=True).stdout
        lines = lines.split("\n")
        assert len(lines) == len(paths) + 1, "a line for each file"
        for path, line in zip(paths, lines):
            ordered = path.suffix != ".safetensors"
            ours, theirs = json.loads(line), peer_reads(path)
            if (refused := theirs.pop("refused", None)) is not None:
                self.only_ours[self.reason(refused)] += 1
            ours, theirs = in_order(ours, ordered), in_order(theirs, ordered)
            if "error" in theirs:
                if "error" in ours:
                    self.neither += 1
                else:
                    self.only_ours[self.reason(theirs["error"])] += 1
            elif "error" in ours:
                self.only_theirs[self.reason(ours["error"].removeprefix(f"{path}: "))] += 1
            elif ours == theirs:
                self.both += 1
            else:
                self.wrong += 1
                for a, b in zip(ours["values"], theirs["values"]):
                    if a != b:
                        print(f"DIFFERENT {path.name}: finetune {a}, the package {b}")
                        break
                else:
                    print(f"DIFFERENT {path.name}: finetune has {len(ours['values'])} values, the package {len(theirs['values'])}")

    @staticmethod
    def reason(text):
        return re.sub(r"\d+", "N", re.sub(r'"[^"]*"|`[^`]*`|\'[^\']*\'', "NAME", text.split("\n")[0]))[:150]

    def tell(self, what):
        print(f"{what}: {self.both} read alike, {self.wrong} read differently, {self.neither} refused by both, "
              f"{sum(self.only_ours.values())} refused by the package alone, {sum(self.only_theirs.values())} by finetune alone")
        for who, reasons in (("by the package", self.only_ours), ("by finetune", self.only_theirs)):
            for text, count in reasons.most_common():
                print(f"  {count} refused {who}: {text}")


def write_valid(rng, path):
    if path.suffix == ".safetensors":
        pool = []
        tensors = {f"{rng.choice(['layer', 'fc', 'é'])}.{i}": tensor(rng, SAFETENSORS, True, pool).clone().contiguous()
                   for i in range(rng.randrange(6))}
        safetensors.torch.save_file(tensors, path, metadata={"format": "pt"} if rng.random() < 0.5 else None)
        return
    zipped = rng.random() < 0.6
    torch.serialization.set_crc32_options(rng.random() < 0.8)
    pool = []
    content = {f"key{i}": value(rng, 0, pool, zipped) for i in range(rng.randrange(1, 6))}
    torch.save(content, path, _use_new_zipfile_serialization=zipped, pickle_protocol=rng.choice([2, 2, 2, 3, 4, 5]))


def write_changed(rng, path):
    """A safetensors file whose header has a few other bytes, and the right length of it unless that was changed too."""
    write_valid(rng, path)
    content = path.read_bytes()
    length = struct.unpack("<Q", content[:8])[0]
    header, rest = bytearray(content[8:8 + length]), content[8 + length:]
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(len(header) + 1)
        kind = rng.randrange(4)
        if kind == 0 and at < len(header):
            header[at] = rng.choice(b'0123456789{}[]",: -eFIUB\\x')
        elif kind == 1:
            del header[at:at + rng.randrange(1, 4)]
        elif kind == 2:
            header[at:at] = rng.choice([b"0", b"-", b" ", b",", b'"', b"1e0", b"null", b"[]", b"{}", b'"a":1,', b"\\u0061"])
        else:
            digits = [match for match in re.finditer(rb"\d+", bytes(header))]
            if digits:
                match = rng.choice(digits)
                header[match.start():match.end()] = str(rng.choice([0, 1, 2, 3, 4, 8, 2**31, 2**63, 2**64])).encode()
    path.write_bytes(struct.pack("<Q", len(header)) + bytes(header) + rest)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("dump")
    parser.add_argument("--files", type=int, default=10000)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = random.Random(args.seed)
    wrong = 0
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        for what, write, endings, share in (("valid .pth", write_valid, ".pth", 0.7),
                                            ("valid .safetensors", write_valid, ".safetensors", 0.3),
                                            ("changed .safetensors", write_changed, ".safetensors", 0.3)):
            comparison = Comparison(args.dump)
            paths = []
            for i in range(int(args.files * share)):
                path = pathlib.Path(folder, f"{i}{endings}")
                write(rng, path)
                paths.append(path)
                if len(paths) == 500 or i + 1 == int(args.files * share):
                    comparison.run(paths)
                    for one in paths:
                        one.unlink()
                    paths = []
            comparison.tell(what)
            wrong += comparison.wrong
            if write is write_valid:
                wrong += comparison.neither + sum(comparison.only_theirs.values())
    print(f"torch {torch.__version__}, safetensors {safetensors.__version__}, seed {args.seed}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
