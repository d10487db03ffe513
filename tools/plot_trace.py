#!/usr/bin/env python3
"""Draws some iterations of a trace (finetune --trace=TRACE.json) as an SVG image. docs/trace.svg is an example.

Usage: tools/plot_trace.py TRACE.json PICTURE.svg [--iterations=FIRST:LAST] [--ranks=0,1]

Each rank is a group of rows: its training step, its collectives (a thin line begins when a collective was started), its
data loader and, if it writes one, a checkpoint. Without --iterations it draws the two neighbouring iterations whose
time is nearest to the median.
"""

import argparse
import collections
import html
import json
import statistics

COLOURS = {
    "wait for data": "#d9a400",
    "forward": "#5b9bd5",
    "backward": "#2f5f9e",
    "wait for gradients": "#d1495b",
    "update": "#6a994e",
    "agree on the loss": "#b08ac9",
    "log": "#9aa0a6",
    "validation": "#8d6e63",
    "checkpoint snapshot": "#00897b",
    "all-reduce": "#e07b39",
    "prepare a batch": "#c9b458",
    "write a checkpoint": "#4db6ac",
}
OTHER = "#8e7cc3"
LEFT, RIGHT, TOP, WIDTH = 128, 16, 64, 1000
ROW, GAP = 26, 8


def read(path):
    """Returns the events of each rank's tracks, and the names of the ranks."""
    with open(path, encoding="utf-8") as file:
        events = json.load(file)["traceEvents"]
    tracks, ranks = {}, {}
    for event in events:
        if event["name"] == "thread_name":
            tracks[event["pid"], event["tid"]] = event["args"]["name"]
        elif event["name"] == "process_name":
            ranks[event["pid"]] = event["args"]["name"]
    by_rank = collections.defaultdict(lambda: collections.defaultdict(list))
    for event in events:
        if event["ph"] == "X":
            by_rank[event["pid"]][tracks[event["pid"], event["tid"]]].append(event)
    return by_rank, ranks


def choose(steps):
    """Returns the two neighbouring iterations whose time is nearest to the median."""
    iterations = sorted((e for e in steps if e["name"] == "iteration"), key=lambda e: e["ts"])
    if len(iterations) < 2:
        raise SystemExit("the trace has fewer than two iterations")
    spans = [b["ts"] + b["dur"] - a["ts"] for a, b in zip(iterations, iterations[1:])]
    middle = statistics.median(spans)
    best = min(range(len(spans)), key=lambda i: abs(spans[i] - middle))
    return iterations[best]["args"]["iteration"], iterations[best + 1]["args"]["iteration"]


def round_step(span, most):
    step = 1.0
    while span / step > most:
        step *= 10
    while span / step < most / 10:
        step /= 10
    for factor in (0.1, 0.2, 0.5, 1):
        if span / (step * factor) <= most:
            return step * factor
    return step


class Picture:
    def __init__(self, begin, end):
        self.begin, self.end = begin, end
        self.parts = []

    def x(self, time):
        time = min(max(time, self.begin), self.end)
        return LEFT + (WIDTH - LEFT - RIGHT) * (time - self.begin) / (self.end - self.begin)

    def rect(self, begin, end, y, height, colour, extra="", title=""):
        left, right = self.x(begin), self.x(end)
        inner = f"<title>{html.escape(title)}</title>" if title else ""
        self.parts.append(
            f'<rect x="{left:.1f}" y="{y:.1f}" width="{max(right - left, 0.5):.1f}" '
            f'height="{height:.1f}" fill="{colour}"{extra}>{inner}</rect>')

    def text(self, x, y, text, extra=""):
        self.parts.append(f'<text x="{x:.1f}" y="{y:.1f}"{extra}>{html.escape(text)}</text>')

    def line(self, x1, y1, x2, y2, colour, width=1):
        self.parts.append(f'<path d="M{x1:.1f} {y1:.1f}L{x2:.1f} {y2:.1f}" stroke="{colour}" '
                          f'stroke-width="{width}" fill="none"/>')


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("trace")
    parser.add_argument("picture")
    parser.add_argument("--iterations", help="FIRST:LAST")
    parser.add_argument("--ranks", help="0,1 (default: all)")
    flags = parser.parse_args()
    by_rank, names = read(flags.trace)
    shown = [int(r) for r in flags.ranks.split(",")] if flags.ranks else sorted(by_rank)
    if flags.iterations:
        first, last = (int(number) for number in flags.iterations.split(":"))
    else:
        first, last = choose(by_rank[shown[0]]["step"])
    window = [e for rank in shown for e in by_rank[rank]["step"]
              if e["name"] == "iteration" and first <= e["args"]["iteration"] <= last]
    if not window:
        raise SystemExit(f"the trace has no iteration {first} to {last}")
    picture = Picture(min(e["ts"] for e in window), max(e["ts"] + e["dur"] for e in window))

    y, used = TOP, []
    for rank in shown:
        rows = {name: sorted((e for e in events if e["name"] != "iteration" and
                              e["ts"] < picture.end and e["ts"] + e["dur"] > picture.begin),
                             key=lambda e: e["ts"])
                for name, events in by_rank[rank].items()}
        rows = {name: events for name, events in rows.items() if events}
        order = sorted(rows, key=lambda name: (name != "step", name != "communication", name))
        picture.text(16, y + 4, names[rank], ' class="rank"')
        y += 12
        height = len(order) * (ROW + GAP)
        # Shades the time of backward in all rows of the rank, because other work that runs at the same time is hidden
        # by it.
        for event in rows.get("step", []):
            if event["name"] == "backward":
                picture.rect(event["ts"], event["ts"] + event["dur"], y - 3, height, "#2f5f9e",
                             ' opacity="0.13"')
        for name in order:
            picture.text(LEFT - 8, y + ROW / 2 + 4, name, ' text-anchor="end" class="row"')
            for event in rows[name]:
                begin, end = event["ts"], event["ts"] + event["dur"]
                colour = COLOURS.get(event["name"], OTHER)
                if event["name"] not in used:
                    used.append(event["name"])
                title = f'{event["name"]}: {event["dur"] / 1000:.3f} ms'
                arguments = event.get("args", {})
                if "bytes" in arguments:
                    title += f', {arguments["bytes"] / 1024:.0f} KiB'
                if "submitted" in arguments and arguments["submitted"] < begin:
                    picture.line(picture.x(arguments["submitted"]), y + ROW + 2, picture.x(begin),
                                 y + ROW + 2, colour, 1.5)
                picture.rect(begin, end, y, ROW, colour,
                             ' stroke="#fff" stroke-width="0.4"', title)
                room = picture.x(end) - picture.x(begin)
                if room > 6.2 * len(event["name"]) + 8:
                    picture.text((picture.x(begin) + picture.x(end)) / 2, y + ROW / 2 + 4,
                                 event["name"], ' text-anchor="middle" class="in"')
            y += ROW + GAP
        y += 22

    bottom = y - 14
    step = round_step((picture.end - picture.begin) / 1000, 12)
    tick = 0.0
    while picture.begin + 1000 * tick <= picture.end:
        x = picture.x(picture.begin + 1000 * tick)
        picture.line(x, bottom, x, bottom + 5, "#666")
        picture.text(x, bottom + 18, f"{tick:g}", ' text-anchor="middle"')
        tick += step
    picture.line(LEFT, bottom, WIDTH - RIGHT, bottom, "#666")
    picture.text((LEFT + WIDTH - RIGHT) / 2, bottom + 34, "ms", ' text-anchor="middle"')

    picture.text(16, 22, f"Iterations {first} to {last}" if last > first else f"Iteration {first}",
                 ' class="title"')
    x = 16
    for name in [name for name in COLOURS if name in used] + [n for n in used if n not in COLOURS]:
        picture.parts.append(f'<rect x="{x}" y="33" width="11" height="11" '
                             f'fill="{COLOURS.get(name, OTHER)}"/>')
        picture.text(x + 15, 43, name)
        x += 15 + 5.9 * len(name) + 12

    with open(flags.picture, "w", encoding="utf-8") as file:
        file.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 46:.0f}" '
            f'width="{WIDTH}" height="{bottom + 46:.0f}">\n'
            "<style>text{font:11px 'DejaVu Sans',Helvetica,Arial,sans-serif;fill:#333}"
            ".title{font-size:15px;font-weight:bold}.rank{font-weight:bold;font-size:12px}"
            ".row{fill:#666}.in{fill:#fff}</style>\n"
            '<rect width="100%" height="100%" fill="#fff"/>\n' + "\n".join(picture.parts) +
            "\n</svg>\n")


if __name__ == "__main__":
    main()
