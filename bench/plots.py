# SPDX-License-Identifier: MIT
"""The plots of what was measured over the number of clients, next to the floor, drawn by gnuplot."""
import subprocess

BEGIN = """
set terminal svg size 800,500 enhanced background rgb 'white'
set output {output}
set title {title}
set xlabel 'clients'
set ylabel {ylabel}
set logscale xy
set grid
set key below
plot {curves}
"""

PLOTS = {
    "bringup": {
        "title": "Bringing clients up one after the other, 8 vectors each",
        "ylabel": "CPU seconds of the sender, in all",
        "curves": {"server": "server", "floor": "bare sendmmsg of the same messages"},
    },
    "latency": {
        "title": "From connect to the memory while others come and go every 5 ms",
        "ylabel": "ms",
        "curves": {
            "server_p99": "server, 99th percentile",
            "server_p50": "server, median",
            "floor_p99": "bare accept loop, 99th percentile",
            "floor_p50": "bare accept loop, median",
        },
    },
}


def quote(text):
    return "'" + str(text).replace("'", "''") + "'"


def draw(measured, folder):
    """Writes NAME.svg for each plot of which there are points."""
    for name, plot in PLOTS.items():
        points = measured.get(name)
        if not points:
            continue
        script = "".join(
            f"${key} << END\n" + "".join(f"{p['clients']} {p[key]}\n" for p in points) + "END\n"
            for key in plot["curves"])
        curves = ", ".join(f"${key} with linespoints linewidth 2 title {quote(title)}"
                           for key, title in plot["curves"].items())
        script += BEGIN.format(output=quote(folder / f"{name}.svg"), title=quote(plot["title"]),
                               ylabel=quote(plot["ylabel"]), curves=curves)
        subprocess.run(["gnuplot"], input=script, text=True, check=True, timeout=60)
