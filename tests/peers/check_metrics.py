"""Reads the metrics.prom of real runs through prometheus_client's parsers, and holds it against status.json and the records.

Usage: check_metrics.py WORK_FOLDER BAZEL_BIN (see tools.sh)

OpenMetrics' own parser is strict: it checks types, names, labels, order and the last line. node_exporter reads the older text
format, for which prometheus_client has a second parser. Both must give the same samples.
"""

import glob
import json
import math
import os
import subprocess
import sys

from prometheus_client import parser
from prometheus_client.openmetrics import parser as openmetrics_parser

CONFIG = """
name: "a \\"name\\" with \\\\ and a\\nline"
model { backbone { resnet { depth: 18 stem: CIFAR base_channels: 4 } } head { num_classes: 4 } }
data {
  train { path: "DATA" split: "train" total_batch_size: 16 pipeline { normalize {} } }
  val { path: "DATA" split: "test" total_batch_size: 16 pipeline { normalize {} } }
}
optimizer { sgd { lr: 0.05 momentum: 0.9 } }
schedule { max_epochs: 2 constant {} }
runtime { log_interval: 1 }
"""


def samples_of(families):
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


def same(a, b):
    return a == b or (math.isnan(a) and math.isnan(b))


def main():
    work, programs = (os.path.abspath(path) for path in sys.argv[1:])
    data, config, run = (os.path.join(work, name) for name in ("data", "config.pbtxt", "a run"))
    subprocess.run([os.path.join(programs, "data_tools/prepare_dataset"), "synthetic", "--classes=4", "--train=72", "--test=24",
                    "--output=" + data], check=True, stdout=subprocess.DEVNULL)
    with open(config, "w") as out:
        out.write(CONFIG.replace("DATA", data))
    finetune = os.path.join(programs, "src/main/finetune")
    for state, flags, code in [("DONE", ["--max_iterations=3"], 0),
                               ("DONE", ["--resume=auto"], 0),
                               ("FAILED", ["--overwrite", "--set=optimizer.sgd.lr=1e30"], 1)]:
        ended = subprocess.run([finetune, "--config=" + config, "--work_dir=" + run, *flags], stdout=subprocess.DEVNULL,
                               stderr=subprocess.DEVNULL)
        assert ended.returncode == code, f"{flags}: the exit code is {ended.returncode}, expected {code}"
        text = open(os.path.join(run, "metrics.prom")).read()
        samples = samples_of(openmetrics_parser.text_string_to_metric_families(text))
        older = samples_of(parser.text_string_to_metric_families(text))
        assert samples.keys() == older.keys() and all(same(value, older[key]) for key, value in samples.items()), "the parsers differ"

        status = json.load(open(os.path.join(run, "status.json")))
        records = [json.loads(line) for path in sorted(glob.glob(os.path.join(run, "*.jsonl"))) for line in open(path)]
        last = [record for record in records if record["mode"] == "train"][-1]
        name = 'a "name" with \\ and a\nline'

        def value(metric, /, **labels):
            return samples[metric, tuple(sorted({"run": name, "work_dir": run, **labels}.items()))]

        assert status["state"] == state and value("finetune_state", state=state) == 1
        assert sum(v for (metric, _), v in samples.items() if metric == "finetune_state") == 1
        assert value("finetune_iteration") == status["train"]["iteration"] == last["iteration"]
        loss = math.nan if last["loss"] is None else last["loss"]
        assert same(value("finetune_loss"), loss), (value("finetune_loss"), loss)
        assert value("finetune_updated_timestamp_seconds") == status["updated"]
        assert value("finetune_ranks") == 1
        if state == "DONE":
            assert value("finetune_best_accuracy_ratio", metric="top1") == status["best"]["value"]
            assert value("finetune_checkpoint_iteration") == status["checkpoint"]["iteration"] == last["iteration"]
        else:
            assert "diverged" in status["error"], status
        watch = subprocess.run([finetune, "watch", run, "--once"], capture_output=True, text=True)
        assert watch.returncode == code and state in watch.stdout, watch
        print(f"a run that ended as {state} ({' '.join(flags)}): both parsers read the same {len(samples)} samples")


if __name__ == "__main__":
    main()
