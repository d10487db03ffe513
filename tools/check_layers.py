#!/usr/bin/env python3
"""Checks that dependencies between packages point down the layers, and draws them.

  tools/check_layers.py                 names every dependency that points up; exits with 1 if there is one
  tools/check_layers.py --svg=FILE      also draws the packages and their dependencies (needs graphviz)

LAYERS lists the layers. A package may use itself and packages of lower layers, and nothing else. The dependencies are
those of the BUILD files, found by `bazel query`. Targets for tests only (cc_test, testonly) may use any package,
because nothing depends on them.

A package also names who may use it. Its BUILD file must not be visible to every package, nor to a package that the
layers forbid to use it.
"""
import argparse
import collections
import pathlib
import re
import subprocess
import sys
import xml.etree.ElementTree

# The layers from the lowest to the highest. A name that ends in /... stands for a package and all packages below it.
LAYERS = [
    ["src/base"],
    ["src/config", "src/host", "src/metrics", "src/ops", "src/tensor"],
    ["src/checkpoint", "src/comm/..."],
    ["src/observe"],
    ["src/data/...", "src/model", "src/optim"],
    ["src/validate"],
    ["src/train"],
    ["src/browse", "src/plan", "src/predict", "src/tune"],
    ["src/export"],
    ["src/main/...", "data_tools", "bench"],
]


def package_of(label):
    """Returns the package of a label: src/comm/mpi for //src/comm/mpi:mpi_communicator; None for a label of another
    repository."""
    if not label.startswith("//"):
        return None
    return label[2:].split(":")[0]


def unit_of(package):
    """Returns the entry of LAYERS that contains the package, without /...; None if there is none."""
    for layer in LAYERS:
        for entry in layer:
            name = entry.removesuffix("/...")
            if package == name or (entry.endswith("/...") and package.startswith(name + "/")):
                return name
    return None


def height_of(unit):
    return next(i for i, layer in enumerate(LAYERS) if unit in [entry.removesuffix("/...") for entry in layer])


def production_rules():
    """Yields (label, labels of its dependencies) of every C++ library and program that is not for tests alone."""
    roots = sorted({entry.removesuffix("/...").split("/")[0] for layer in LAYERS for entry in layer})
    rules = 'kind("cc_(library|binary) rule", ' + " + ".join(f"//{root}/..." for root in roots) + ")"
    query = f"{rules} except attr(testonly, 1, {rules})"
    command = ["bazel", "query", "--noshow_progress", "--ui_event_filters=-info", "--output=xml", query]
    answer = subprocess.run(command, stdout=subprocess.PIPE, check=False)
    if answer.returncode != 0:
        sys.exit("check_layers.py: bazel query failed; its message is above")
    for rule in xml.etree.ElementTree.fromstring(answer.stdout).iter("rule"):
        # A list with select() may appear once for each branch.
        labels = [label.get("value") for one in rule.iter("list") if one.get("name") in ("deps", "data")
                  for label in one.iter("label")]
        yield rule.get("name"), labels


def check():
    """Returns the dependencies between units, each with the labels that cause it, and the complaints."""
    arrows, complaints = collections.defaultdict(list), []
    for label, dependencies in production_rules():
        unit = unit_of(package_of(label))
        if unit is None:
            complaints.append(f"{label}: its package is in no layer; add it to LAYERS in tools/check_layers.py")
            continue
        for dependency in dependencies:
            package = package_of(dependency)
            if package is None or package == "":
                continue
            target = unit_of(package)
            if target == unit or (target is None and not package.startswith("src")):
                continue
            if target is None:
                complaints.append(f"{label}: uses {dependency}, whose package is in no layer of tools/check_layers.py")
                continue
            arrows[unit, target].append((label, dependency))
            if height_of(target) >= height_of(unit):
                complaints.append(f"{label}: uses {dependency}; {unit} may use layers below its own, and {target} is "
                                  f"{'beside' if height_of(target) == height_of(unit) else 'above'} it")
    return arrows, complaints


def visibility_complaints():
    """Returns complaints about the packages to which BUILD files are visible."""
    complaints = []
    for build in sorted(pathlib.Path("src").rglob("BUILD")):
        package, text = str(build.parent), build.read_text()
        unit = unit_of(package)
        wide = "//visibility:public" in text or re.search(r'"//:__(pkg|subpackages)__"', text)
        if wide:
            complaints.append(f"{build}: is visible to all packages; name those that use it")
        for user in re.findall(r'"//([^":]+):__(?:pkg|subpackages)__"', text):
            user_unit = unit_of(user)
            # Tests and their helpers may use any package.
            if unit is None or user_unit is None or user_unit == unit:
                continue
            if height_of(user_unit) <= height_of(unit):
                complaints.append(f"{build}: is visible to {user}, which may not use it: see LAYERS in tools/check_layers.py")
    return complaints


def reduced(arrows):
    """Returns the dependencies without those that a longer path implies, for the drawing."""
    targets = collections.defaultdict(set)
    for source, target in arrows:
        targets[source].add(target)

    def reachable(source):
        found, todo = set(), [source]
        while todo:
            for target in targets[todo.pop()] - found:
                found.add(target)
                todo.append(target)
        return found

    return sorted((source, target) for source, target in arrows
                  if not any(target in reachable(other) for other in targets[source] - {target}))


def draw(arrows, path):
    lines = ["digraph layers {", "rankdir=TB; nodesep=0.35; ranksep=0.45;",
             'node [shape=box, style="rounded,filled", fillcolor="#eef3fb", color="#5b7db1", fontname="Helvetica", fontsize=13];',
             'edge [color="#5b7db1", arrowsize=0.7];']
    for layer in reversed(LAYERS):
        names = " ".join(f'"{entry.removesuffix("/...")}";' for entry in layer)
        lines.append(f"{{ rank=same; {names} }}")
    lines += [f'"{source}" -> "{target}";' for source, target in reduced(arrows)]
    lines.append("}")
    try:
        subprocess.run(["dot", "-Tsvg", "-o", path], input="\n".join(lines), text=True, check=True)
    except FileNotFoundError:
        sys.exit("check_layers.py: --svg needs graphviz: apt-get install graphviz")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--svg", metavar="FILE", help="also draw the packages and their arrows")
    flags = parser.parse_args()
    arrows, complaints = check()
    complaints += visibility_complaints()
    for complaint in sorted(set(complaints)):
        print(complaint, file=sys.stderr)
    if flags.svg:
        draw(arrows, flags.svg)
    if not arrows:
        sys.exit("check_layers.py: found no arrow at all; is this the root of the repository?")
    print(f"{len(arrows)} arrows between packages, {len(set(complaints))} complaints")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
