#!/usr/bin/env python3
"""Translates an OpenMMLab config (mmpretrain 1.x, mmcls 0.x) into a config of finetune, on standard output.

    tools/import_mmpretrain.py resnet50_finetune_cifar.py > mine.pbtxt

The config is parsed with Python's ast module: neither the config nor mmengine is run. Each line of the result names the
line from which it comes. A setting that has no counterpart in finetune, or one that differs, is named on standard error,
with file and line, and at the head of the result. docs/migrating.md says how settings correspond.

Exit codes: 0: everything was translated; 3: some settings were not, or not exactly, and the rest was translated; 2: the
config or the flags cannot be read.
"""

import argparse
import os
import sys

from openmmlab.reader import Reader, find_root
from openmmlab.section import Report
from openmmlab.translate import translate
from openmmlab.values import ConfigError, printable, where

WHOLE, UNREADABLE, PARTLY = 0, 2, 3


def import_config(path, root=None, packages=None):
    """Returns (text of the finetune config, Report). Raises ConfigError if the config cannot be read."""
    reader = Reader(root or find_root(path), packages)
    config = reader.read(path)
    report = Report()
    for place, problem in reader.problems:
        report.miss(place, "", problem, "an expression that is not evaluated")
    message, report = translate(config, path, report)
    folder = os.path.dirname(os.path.abspath(path))

    def finding(item):
        file = printable(os.path.relpath(os.path.abspath(item.place.file), folder))
        return f"#   {file}:{item.place.line}: " + (f"{item.path}: " if item.path else "") + item.text

    lines = [
        f"# Translated from {printable(os.path.basename(path))} by tools/import_mmpretrain.py. Behind each value: where it was "
        f"written."
    ]
    if report.missing:
        lines += ["#", "# Not translated, or translated to something that differs in what it says:"] + [
            finding(item) for item in report.missing
        ]
    lines += message.lines()
    if report.notes:
        lines += ["", "# Left out, since they need no counterpart:"] + [finding(item) for item in report.notes]
    return "\n".join(lines) + "\n", report


def main(arguments):
    parser = argparse.ArgumentParser(
        prog="import_mmpretrain.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("config", metavar="CONFIG.py", help="the config to translate")
    parser.add_argument(
        "--root",
        metavar="DIR",
        help="the folder that _base_ files must lie in (default: the nearest folder above "
        "the config that holds one named _base_, else the parent of the config's)",
    )
    parser.add_argument(
        "--mmpretrain",
        metavar="DIR",
        help="the folder of mmpretrain's configs, for _base_ = 'mmpretrain::NAME' "
        "(default: those of an installed mmpretrain)",
    )
    flags = parser.parse_args(arguments)
    packages = {"mmpretrain": flags.mmpretrain, "mmcls": flags.mmpretrain} if flags.mmpretrain else None
    try:
        text, report = import_config(flags.config, flags.root, packages)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return UNREADABLE
    sys.stdout.write(text)
    for item in report.missing:
        print(f"{where(item.place)}: " + (f"{item.path}: " if item.path else "") + item.text, file=sys.stderr)
    return PARTLY if report.missing else WHOLE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
