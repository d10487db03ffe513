#!/usr/bin/env bash
# SummaryWriter(purge_step=...) has no effect on TensorBoard's page when a run resumes for the first time, and
# TensorBoard's three readers show three different curves for the same files.
#
# Software: TensorBoard 2.21.0 with tensorboard-data-server 0.7.2 (its default reader), tensorboardX 2.6.5.
# tensorboardX writes the same two events for purge_step as torch.utils.tensorboard does: a file version and a
# SessionLog.START.
#
# Expected: a run that stops after step 90 and resumes from a checkpoint of step 60 with purge_step=60 loses the
# points of steps 60 to 90 of its first part, in all curves. The writers' documentation says so. One would also expect
# the web page to show what TensorBoard's own Python reader (EventAccumulator) returns.
#
# Found:
# - EventAccumulator purges at every SessionLog.START, as expected.
# - The web page with --load_fast=false ignores the first SessionLog.START of a run, because it takes it for the
#   start of the run. A SummaryWriter writes none when the run really starts. So the first resume purges nothing; the
#   second one does.
# - The web page by default (the data server) ignores SessionLog. It drops old points of a curve only when that curve
#   gets a step that is not larger than its last one. A curve that is written rarely keeps points of the abandoned
#   part.
#
# Output (the resumed run starts from a checkpoint of step 60; purge_step=60):
#   "loss", logged at 60, 70, ... again    EventAccumulator 13 points; default page 13; --load_fast=false 17, with
#                                          steps 60 to 90 twice
#   "accuracy", logged at 50 and 90,       EventAccumulator: 50; both pages: 50 and 90, and the latter is of a model
#   next due at 140                        that no longer exists
#   "loss", resumed at 60, next at 100     EventAccumulator: 60 to 90 gone; both pages: 60 to 90 of the abandoned part
#   "loss", resumed at 60, then at 100     --load_fast=false: 60 to 90 twice as above, but 100 to 120 once: the second
#                                          purge_step worked
#
# Why it matters: after a crash one picks the checkpoint with the best validation accuracy from the page, and the best
# one may belong to weights that were thrown away; a script that reads the same folder picks another. Resuming is
# routine on a cluster. Log a resumed run to a new folder, or remove the superseded events from the files.
set -euo pipefail
source "$(dirname "$0")/lib/temporary.sh"

make_venv venv tensorboard==2.21.0 tensorboard-data-server==0.7.2 tensorboardX==2.6.5 numpy==2.4.6 protobuf==7.36.2 \
  setuptools==65.5.0

cat > "$work/purge.py" <<'PY'
import json
import logging
import re
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboardX import SummaryWriter

logging.disable(logging.WARNING)  # EventAccumulator reports what it purges.
folder = sys.argv[1]
print(f"TensorBoard {tensorboard.__version__}")


def write(run, part, events, **options):
    # The suffix orders the files of one second.
    writer = SummaryWriter(f"{folder}/{run}", filename_suffix=f".{part}", **options)
    for tag, steps in events.items():
        for step in steps:
            writer.add_scalar(tag, part, step)
    writer.close()


first = {"loss": range(0, 100, 10), "accuracy": (50, 90)}
for run, resumed in (("every_10", range(60, 130, 10)), ("at_100", range(100, 130, 10))):
    write(run, 1, first)
    time.sleep(1.1)  # A file's name has the second in which it was made.
    write(run, 2, {"loss": resumed}, purge_step=60)
write("twice", 1, first)
for part_number, step in ((2, 60), (3, 100)):
    time.sleep(1.1)
    write("twice", part_number, {"loss": range(step, 130, 10)}, purge_step=step)
CURVES = [("every_10", "loss"), ("every_10", "accuracy"), ("at_100", "loss"), ("twice", "loss")]
LAST = {0: (120, 2), 2: (120, 2), 3: (120, 3)}  # The last point of each curve that all parts write.


def by_accumulator():
    curves = []
    for run, tag in CURVES:
        accumulator = EventAccumulator(f"{folder}/{run}")
        accumulator.Reload()
        curves.append([(event.step, int(event.value)) for event in accumulator.Scalars(tag)])
    return curves


def by_page(load_fast):
    """Returns the curves that the web page gets from TensorBoard's server."""
    server = subprocess.Popen(
        [sys.executable, "-m", "tensorboard.main", "--logdir", folder, "--port", "0", f"--load_fast={load_fast}"],
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        address = next(found[0] for line in server.stderr if (found := re.search(r"http://localhost:\d+/", line)))

        def curve(run, tag):
            query = urllib.parse.urlencode({"run": run, "tag": tag})
            with urllib.request.urlopen(f"{address}data/plugin/scalars/scalars?{query}") as answer:
                return [(step, int(value)) for _, step, value in json.load(answer)]

        before = None
        for _ in range(120):
            # The server reads the files while it answers. Asks until each run's last step is there and nothing moves.
            try:
                curves = [curve(run, tag) for run, tag in CURVES]
            except urllib.error.HTTPError:
                curves = None
            if curves and curves == before and all(curves[i][-1] == last for i, last in LAST.items()):
                return curves
            before = curves
            time.sleep(1)
        sys.exit(f"TensorBoard with --load_fast={load_fast} did not read the files within two minutes.")
    finally:
        server.terminate()
        server.wait()
        server.stderr.close()


def part(number, steps):
    return [(step, number) for step in steps]


new, late = part(2, range(60, 130, 10)), part(2, range(100, 130, 10))
third = part(3, range(100, 130, 10))
kept, all_of_first = part(1, range(0, 60, 10)), part(1, range(0, 100, 10))
expected = {
    "EventAccumulator": [kept + new, part(1, [50]), kept + late, kept + new[:4] + third],
    "page, default": [kept + new, part(1, [50, 90]), all_of_first + late, kept + new[:4] + third],
    "page, --load_fast=false": [
        all_of_first + new, part(1, [50, 90]), all_of_first + late, all_of_first + new[:4] + third],
}
seen = {
    "EventAccumulator": by_accumulator(),
    "page, default": by_page("true"),  # The default, auto, means true for a local folder.
    "page, --load_fast=false": by_page("false"),
}
for index, (run, tag) in enumerate(CURVES):
    print(f"{tag} of {run}, as step:part")
    for reader, curves in seen.items():
        print(f"  {reader:24}" + " ".join(f"{step}:{value}" for step, value in curves[index]))
changed = [reader for reader in seen if seen[reader] != expected[reader]]
if changed:
    sys.exit(f"The behaviour has changed for: {'; '.join(changed)}.")
print("As described: the first purge_step has no effect on the page, and the three readers differ.")
PY
"$work/venv/bin/python" "$work/purge.py" "$work/runs"
