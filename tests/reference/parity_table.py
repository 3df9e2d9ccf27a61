"""The table of score_parity.py: what a tool says, what tiller says, and whether that is near enough."""

import json
import subprocess

TOLERANCE = 1e-4


class Table:
    def __init__(self, tiller, work):
        self.tiller, self.work, self.rows = tiller, work, []

    def run(self, *args, code=0):
        """tiller with args, its output; fails on any other exit code."""
        done = subprocess.run([self.tiller, *map(str, args)], cwd=self.work, capture_output=True, text=True)
        if done.returncode != code:
            raise RuntimeError(f"tiller {' '.join(map(str, args))}: exit {done.returncode}\n{done.stderr}")
        return done.stdout

    def score(self, *args):
        """`value` of tiller score ARGS."""
        rows = json.loads(self.run("score", *args, "--json", "--no-cache"))
        if len(rows) != 1 or rows[0]["skipped"]:
            raise RuntimeError(f"tiller score {' '.join(map(str, args))}: {rows}")
        return rows[0]["value"]

    def same(self, metric, tool, theirs, ours, note="", tolerance=TOLERANCE):
        """A tool that is deterministic."""
        apart = abs(theirs - ours) / abs(theirs)
        self.add(metric, tool, theirs, ours, f"{apart:.1e}", apart <= tolerance, note)

    def within(self, metric, tool, draws, ours, note=""):
        """A tool that draws: ours is of the same law as its values, or at their mean."""
        mean = sum(draws) / len(draws)
        spread = (sum((x - mean) ** 2 for x in draws) / (len(draws) - 1)) ** 0.5
        away = abs(ours - mean) / spread
        self.add(metric, tool, mean, ours, f"{away:.2f} sd", away <= 3, f"sd {spread:.3g} of {len(draws)} draws" + (f"; {note}" if note else ""))

    def stated(self, metric, tool, theirs, ours, note):
        """A difference that is known and stays; its size is told."""
        self.add(metric, tool, theirs, ours, f"{abs(theirs - ours) / abs(theirs):.1e}", None, note)

    def add(self, metric, tool, theirs, ours, apart, ok, note):
        row = (metric, tool, f"{theirs:.9g}", f"{ours:.9g}", apart, {True: "ok", False: "FAR", None: "stated"}[ok], note)
        self.rows.append(row)
        print("  ".join(row), flush=True)

    def print(self):
        """As markdown; the number of rows that are too far."""
        print("\n| metric | tool | theirs | ours | apart | | |\n|---|---|---|---|---|---|---|")
        for row in self.rows:
            print("| " + " | ".join(row) + " |")
        return sum(row[5] == "FAR" for row in self.rows)
