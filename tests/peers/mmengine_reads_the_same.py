"""Compares how tools/openmmlab and mmengine read the same configs; mmengine runs them. See mmpretrain_configs.sh.

    mmengine_reads_the_same.py CONFIGS

Exits with 1 if a config that both can read has different values.
"""

import glob
import logging
import os
import sys
import warnings

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools"))

from mmengine.config import Config  # noqa: E402
from openmmlab.reader import Reader, find_root  # noqa: E402
from openmmlab.values import ConfigError, plain, where  # noqa: E402


def without_scope(value):
    """Returns the value without the entries that mmengine adds for its registries."""
    if isinstance(value, dict):
        return {key: without_scope(item) for key, item in value.items() if key != "_scope_"}
    if isinstance(value, (list, tuple)):
        return type(value)(map(without_scope, value))
    return value


def main(configs):
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    same, refused, differ = 0, [], []
    for path in sorted(glob.glob(os.path.join(configs, "**", "*.py"), recursive=True)):
        reader = Reader(find_root(path))
        try:
            ours = plain(reader.read(path))
        except ConfigError as error:
            ours = error
        try:
            theirs = without_scope(Config.fromfile(path, import_custom_modules=False)._cfg_dict.to_dict())
        except Exception as error:  # pylint: disable=broad-except
            theirs = error
        if isinstance(theirs, Exception) or isinstance(ours, ConfigError):
            refused.append(
                f"{path}: mmengine: {str(theirs)[:60] if isinstance(theirs, Exception) else 'reads it'}; ours: "
                f"{ours if isinstance(ours, ConfigError) else 'reads it'}"
            )
            continue
        # mmengine keeps the names that a config imports among its values.
        theirs = {name: value for name, value in theirs.items() if name in ours or not str(value).endswith(f".{name}")}
        if ours == theirs:
            same += 1
        else:
            names = sorted(name for name in {*ours, *theirs} if ours.get(name) != theirs.get(name))
            differ.append(
                f"{path}: {', '.join(names)} differ"
                + "".join(f"; {where(place)}: {text}" for place, text in reader.problems)
            )
    print(
        f"{same} configs read as mmengine reads them, {len(differ)} otherwise, {len(refused)} not read by one or both"
    )
    for line in differ + refused:
        print(line, file=sys.stderr)
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
