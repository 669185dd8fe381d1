"""Draws what `make bench` has measured.

    plots.py DIRECTORY   reads mounts.json and io.json there, and writes attach.svg, mount_table.svg and policy.svg
"""

import json
import pathlib
import statistics
import sys

import matplotlib

matplotlib.use("svg")
# The same numbers give the same file, and text stays text.
matplotlib.rcParams.update({"svg.hashsalt": "nova-quobyte", "svg.fonttype": "none", "font.size": 9, "axes.grid": True,
                            "axes.axisbelow": True, "grid.color": "#dddddd"})
from matplotlib import pyplot  # noqa: E402 the backend comes first

OURS, THEIRS, BARE, BAR = "#1f6fb4", "#c8553d", "#999999", "#333333"
SIZES = (10, 1000, 10000)


def save(figure, path):
    figure.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(figure)


def medians(rows, name):
    """Of what the driver takes, and of the other, in milliseconds."""
    row = next(row for row in rows if row["what"] == name)
    return statistics.median(row["ours_ms"]), statistics.median(row["theirs_ms"])


def scaling(axes, rows, name, title):
    ours, theirs = zip(*(medians(rows, f"{name}, {size} more mounts") for size in SIZES), strict=True)
    for values, color, label in ((theirs, THEIRS, "in-tree way"), (ours, OURS, "this driver")):
        axes.plot(SIZES, values, "o-", color=color, label=label)
    axes.set(xscale="log", yscale="log", xlabel="other mounts on the host", ylabel="milliseconds", title=title)
    axes.legend()


def mount_table(rows, path):
    figure, axes = pyplot.subplots(1, 2, figsize=(8, 3))
    scaling(axes[0], rows, "validation", "Is the volume still mounted?")
    scaling(axes[1], rows, "hot connect", "Connect one more image of a mounted volume")
    save(figure, path)


def attach(rows, path):
    ours, bare = medians(rows, "cold connect against the bare 200 ms client")
    _, in_tree = medians(rows, "cold connect against the in-tree way")
    together, _ = medians(rows, "64 cold connects at once against one")
    figure, axes = pyplot.subplots(figsize=(8, 2.2))
    bars = {"client alone": (bare, BARE), "this driver": (ours, OURS), "in-tree way": (in_tree, THEIRS),
            "64 volumes at once, this driver": (together, OURS)}
    values, colors = zip(*bars.values(), strict=True)
    axes.barh(list(bars), values, color=colors)
    axes.invert_yaxis()
    axes.grid(axis="y", visible=False)
    axes.set(xlabel="milliseconds", title="The first image of a volume, whose client takes 200 ms to mount")
    save(figure, path)


def cells(rates, via):
    """Of every cell: its name, and the policies' rates over the best of native and threads."""
    for cell in rates:
        if cell["via"] == via:
            features = cell["features"]
            name = (f"{'async' if features['async_dio'] else 'sync'}"
                    f"{', parallel writes' if features['parallel_direct_writes'] else ''}, {features['max_background']}")
            yield name, cell["workload"], cell["chosen_to_best"], cell["fixed_to_best"]


def policy(rates, path):
    vias = ("qemu-img", "guest")
    figure, columns = pyplot.subplots(1, 2, figsize=(9, 9), sharey=True)
    for axes, via in zip(columns, vias, strict=True):
        drawn = list(cells(rates, via))
        labels = [f"{workload}  ({features})" for features, workload, *_ in drawn]
        # Beyond the best is as good as the best.
        for key, marker, color, label in ((3, "x", THEIRS, "fixed none/native"), (2, "o", OURS, "the driver's choice")):
            axes.plot([min(cell[key], 1) for cell in drawn], labels, marker, color=color, label=label, markersize=5,
                      fillstyle="none" if marker == "o" else "full")
        axes.axvline(0.9, color=BAR, linewidth=0.8, linestyle="--")
        axes.set(xscale="log", xlim=(0.02, 1.15), xticks=(0.03, 0.1, 0.3, 1), xticklabels=("0.03", "0.1", "0.3", "1"),
                 xlabel="speed over the best of native and threads", title=f"through {via}")
    columns[0].invert_yaxis()
    columns[0].tick_params(axis="y", labelsize=6)
    columns[1].legend(loc="upper left")
    figure.tight_layout()
    save(figure, path)


def main():
    """Plots what has been measured; a run may leave parts out."""
    directory = pathlib.Path(sys.argv[1])
    measured = {path.stem: json.loads(path.read_text()) for path in directory.glob("*.json")}
    if "mounts" in measured:
        mount_table(measured["mounts"]["rows"], directory / "mount_table.svg")
        attach(measured["mounts"]["rows"], directory / "attach.svg")
    if "io" in measured:
        policy(measured["io"]["rates"], directory / "policy.svg")


main()
