"""Reads results for check.py from the output of programs: measurements, verdicts, one-line texts. Nothing here runs a
program."""
import json
import re
import statistics


def records(text):
    """Returns the records of a run's .jsonl, without a last line that is cut off."""
    found = []
    for line in text.splitlines():
        try:
            found.append(json.loads(line))
        except ValueError:
            continue
    return [record for record in found if isinstance(record, dict)]


def losses(found):
    """Returns {iteration: training loss}."""
    return {r["iteration"]: r["loss"] for r in found if r.get("mode") == "train"}


def compare_losses(expected, actual, bound):
    """Returns (whether the losses of both runs agree within the relative difference `bound`, the largest relative
    difference). Both runs must have the same iterations, and at least one."""
    common = sorted(set(expected) & set(actual))
    if not common or set(expected) != set(actual):
        return False, None
    worst = max(abs(actual[i] - expected[i]) / max(abs(expected[i]), 1e-12) for i in common)
    return worst <= bound, worst  # NaN is not below any bound


def spread(values):
    return {"median": statistics.median(values), "least": min(values), "greatest": max(values), "values": len(values)}


def training_rate(found, warm_up):
    """Returns the images per second of each window of log_interval iterations after `warm_up` iterations, as a
    spread(); None if there are none."""
    rates = []
    for record in found:
        if record.get("mode") != "train" or record["iteration"] <= warm_up:
            continue
        if record.get("images_per_s") is not None:
            rates.append(record["images_per_s"])
    return spread(rates) if rates else None


def evaluation_rate(found):
    """Returns the images per second of the validations after the first one, which is warm-up, as a spread(); None if
    there are none."""
    rates = []
    for record in found:
        if record.get("mode") == "val" and record.get("time"):
            rates.append(record["pictures"] / record["time"])
    return spread(rates[1:]) if len(rates) > 1 else None


def accuracy(found):
    """Returns (the last validation's top-1 accuracy in percent, its iteration), or None."""
    for record in reversed(found):
        if record.get("mode") != "val":
            continue
        top1 = record.get("accuracy", {}).get("top1")
        if top1 is not None:
            return 100 * top1, record["iteration"]
    return None


def peer(text):
    """Returns the JSON lines that bench/pytorch_peer.py printed."""
    return [record for record in records(text) if "mode" in record]


def gtest(text, ranks=1):
    """Returns the counts in a GoogleTest program's output (under mpirun those of all its ranks together) and the names
    of failed cases.

    `finished` is false if the program did not reach its end on all ranks.
    """
    passed = sum(int(n) for n in re.findall(r"\[  PASSED  \] (\d+) tests?", text))
    failed = sorted(set(re.findall(r"\[  FAILED  \] ([\w./]+\.[\w./]+)", text)))
    skipped = sum(int(n) for n in re.findall(r"\[  SKIPPED \] (\d+) tests?", text))
    finished = len(re.findall(r"\[  PASSED  \] \d+ tests?", text)) == ranks
    return {"passed": passed, "failed": failed, "skipped": skipped, "finished": finished}


def gtest_ok(counts, exit_code):
    """Returns whether the program succeeded: at least one case ran, and none failed or was skipped."""
    return exit_code == 0 and counts["finished"] and not counts["failed"] and counts["passed"] > 0 and not counts["skipped"]


def sanitizer_errors(text):
    """Returns the number of errors in compute-sanitizer's last line, summed over the processes that it watched; None if
    there is no such line."""
    found = re.findall(r"ERROR SUMMARY: (\d+) errors?", text)
    return sum(int(n) for n in found) if found else None


def gpu_events(trace):
    """Returns (category, name, start, duration) of everything that ran on the GPU, in microseconds and sorted by start."""
    events = trace.get("traceEvents", [])
    kept = [(e["cat"], e["name"], float(e["ts"]), float(e.get("dur", 0))) for e in events
            if e.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset") and e.get("ph") == "X"]
    return sorted(kept, key=lambda event: event[2])


def last_step(events, least_kernels=50):
    """Returns the events of the last whole iteration.

    An iteration begins with a copy from the host that follows at least `least_kernels` kernels of the previous iteration.
    """
    starts, kernels = [], least_kernels
    for i, (category, name, _, _) in enumerate(events):
        if category == "kernel":
            kernels += 1
        elif category == "gpu_memcpy" and "HtoD" in name and kernels >= least_kernels:
            starts.append(i)
            kernels = 0
    return events[starts[-2]:starts[-1]] if len(starts) >= 2 else []


def profile(events, count=15):
    """Summarizes one iteration's events: its length, the share of it in which the GPU worked, and the kernels that took
    longest."""
    if not events:
        return None
    begin = events[0][2]
    end = max(start + duration for _, _, start, duration in events)
    busy, at = 0.0, begin
    for _, _, start, duration in events:
        busy += max(0.0, start + duration - max(at, start))
        at = max(at, start + duration)
    by_name = {}
    for category, name, _, duration in events:
        if category == "kernel":
            total, calls = by_name.get(name, (0.0, 0))
            by_name[name] = (total + duration, calls + 1)
    top = sorted(by_name.items(), key=lambda item: -item[1][0])[:count]
    return {"milliseconds": (end - begin) / 1e3, "busy_share": busy / max(end - begin, 1e-9),
            "kernels": sum(calls for _, calls in by_name.values()),
            "top": [{"name": name[:160], "milliseconds": total / 1e3, "calls": calls} for name, (total, calls) in top]}


def key(frozen_stages, batch):
    return f"frozen_stages {frozen_stages}, batch {batch}"


def ratios(figures):
    """Returns, for each job that has both results, the ratio of finetune to PyTorch's best mode and of recorded to
    other steps.

    figures: {job: {name: {"train": spread, "eval": spread}}}. finetune's names begin with "finetune".
    """
    found = {}
    for job, by_name in figures.items():
        def best(what, ours):
            rates = [(rate[what]["median"], name) for name, rate in by_name.items()
                     if name.startswith("finetune") == ours and rate.get(what)]
            return max(rates, default=None)
        row = {}
        for what in ("train", "eval"):
            ours, theirs = best(what, True), best(what, False)
            if ours and theirs:
                row[what] = {"ratio": ours[0] / theirs[0], "finetune": ours[1], "pytorch": theirs[1]}
        plain, recorded = by_name.get("finetune", {}).get("train"), by_name.get("finetune recorded", {}).get("train")
        if plain and recorded:
            row["recorded"] = {"ratio": recorded["median"] / plain["median"]}
        if row:
            found[job] = row
    return found


def targets(figures, prepared):
    """Returns (name, value or None, target, whether it is met or None) for each target of docs/gpu.md."""
    found = ratios(figures)

    def least(what):
        values = [row[what]["ratio"] for row in found.values() if what in row]
        return min(values, default=None)
    recorded = found.get(key(2, 32), {}).get("recorded", {}).get("ratio")
    rows = [("training, against PyTorch's best mode (the worst job)", least("train"), 1.2),
            ("evaluation, against PyTorch's best mode (the worst job)", least("eval"), 1.3),
            ("images a second read, sent and prepared", prepared, 20000),
            ("recorded steps against others, batch 32, frozen_stages 2", recorded, 1.3)]
    return [{"what": what, "value": value, "target": target, "met": None if value is None else value >= target}
            for what, value, target in rows]
