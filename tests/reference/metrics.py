"""metrics/expected.txt: Frechet and kernel distances by the tools that people use, on rows that a formula gives.

Runs in the audio environment (numpy, scipy, pytorch-fid, clean-fid, torchmetrics, fadtk, kadtk), not in the one of the other
scripts: metrics.py writes one line "name value" each. Rows are x and y below, cast to float32; the tools draw the
rows that `drawn` says instead of random ones. Every value is checked against plain numpy in float64 first.
"""

import pathlib

import numpy as np
import torch

import cleanfid.fid
import fadtk.fad
import kadtk.kad
import pytorch_fid.fid_score
from torchmetrics.image.kid import poly_mmd

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "metrics" / "expected.txt"


def x(n, dim):
    i, j = np.arange(1, n + 1)[:, None], np.arange(1, dim + 1)[None]
    return np.sin(i * j * 0.37).astype(np.float32)


def y(n, dim):
    i, j = np.arange(1, n + 1)[:, None], np.arange(dim)[None]
    return (np.cos(i * (j + 2) * 0.53) + 0.1 * j).astype(np.float32)


def drawn(which, size, n):
    """Row numbers of draw `which`, instead of random ones."""
    return (np.arange(size) * 7 + which * 13 + np.arange(size) // 3) % n


class Draws:
    """np.random.choice that gives drawn(0), drawn(1), ..."""

    def __init__(self):
        self.n = 0

    def __call__(self, n, size, replace=True):
        self.n += 1
        return drawn(self.n - 1, size, n)


def with_draws(call):
    kept, np.random.choice = np.random.choice, Draws()
    try:
        return call()
    finally:
        np.random.choice = kept


def stats(a):
    a = a.astype(np.float64)
    return a.mean(0), np.cov(a, rowvar=False)


def frechet(a, b):
    """Symmetric form in float64."""
    (m1, s1), (m2, s2) = stats(a), stats(b)
    w, v = np.linalg.eigh(s1)
    root = v * np.sqrt(np.maximum(w, 0)) @ v.T
    cross = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ s2 @ root), 0)).sum()
    return ((m1 - m2) ** 2).sum() + np.trace(s1) + np.trace(s2) - 2 * cross


def mmd(kxx, kyy, kxy, unbiased):
    m, n = len(kxx), len(kyy)
    if unbiased:
        xx = (kxx.sum() - np.trace(kxx)) / (m * (m - 1))
        return xx + (kyy.sum() - np.trace(kyy)) / (n * (n - 1)) - 2 * kxy.mean()
    return kxx.mean() + kyy.mean() - 2 * kxy.mean()


def distances(a, b):
    return ((a[:, None].astype(np.float64) - b[None].astype(np.float64)) ** 2).sum(-1)


def kad(a, b, kernel, bandwidth):
    gamma = 1 / (2 * bandwidth**2 + 1e-8)
    k = {"gaussian": lambda d: np.exp(-gamma * d), "iq": lambda d: 1 / (1 + gamma * d),
         "imq": lambda d: 1 / np.sqrt(1 + gamma * d)}[kernel]
    return 100 * mmd(k(distances(a, a)), k(distances(b, b)), k(distances(a, b)), True)


def lower_median(a):
    d = np.sort(np.sqrt(distances(a, a)[np.tril_indices(len(a), -1)]))
    return d[(len(d) - 1) // 2]


def near(name, tool, own, limit):
    assert abs(tool - own) <= limit * abs(own), (name, tool, own)
    return name, own


def frechet_rows():
    """Own values are kept, the tool's are checked: 1e-8 where covariances are regular, 1e-6 where they are not."""
    for n, m, dim in ((300, 200, 24), (64, 64, 8), (40, 33, 48)):
        a, b, own = x(n, dim), y(m, dim), frechet(x(n, dim), y(m, dim))
        (m1, s1), (m2, s2) = stats(a), stats(b)
        limit = 1e-8 if min(n, m) > dim else 1e-6
        near("pytorch_fid", pytorch_fid.fid_score.calculate_frechet_distance(m1, s1, m2, s2), own, limit)
        near("clean_fid", cleanfid.fid.frechet_distance(m1, s1, m2, s2), own, limit)
        near("fadtk", fadtk.fad.calc_frechet_distance(m1, s1, m2, s2), own, limit)
        yield f"frechet_{n}_{m}_{dim}", own


def fad_inf_rows():
    """fadtk's score_inf on drawn rows: sizes 500 to 700, 25 of them."""
    a, b = x(900, 8), y(700, 8)
    sizes = [int(n) for n in np.linspace(500, len(b), 25)]
    values = [fadtk.fad.calc_frechet_distance(*stats(a), *stats(b[drawn(k, n, len(b))])) for k, n in enumerate(sizes)]
    slope, intercept = np.polyfit(1 / np.array(sizes), values, 1)
    rest = np.array(values) - (slope / np.array(sizes) + intercept)
    yield "fad_inf", intercept
    yield "fad_inf_slope", slope
    yield "fad_inf_r2", 1 - (rest**2).sum() / ((values - np.mean(values)) ** 2).sum()


def kid_rows():
    a, b = x(120, 24), y(90, 24)
    # clean-fid draws from its second argument first
    tool = with_draws(lambda: cleanfid.fid.kernel_distance(a, b, num_subsets=5, max_subset_size=50))
    values = []
    for s in range(5):
        p, q = b[drawn(2 * s, 50, 90)].astype(np.float64), a[drawn(2 * s + 1, 50, 120)].astype(np.float64)
        k = lambda u, v: (u @ v.T / 24 + 1) ** 3
        values.append(mmd(k(p, p), k(q, q), k(p, q), True))
    yield near("kid_clean_fid", tool, np.mean(values), 1e-4)
    values = []
    for s in range(5):
        p, q = a[drawn(2 * s, 50, 120)].astype(np.float64), b[drawn(2 * s + 1, 50, 90)].astype(np.float64)
        values.append(float(poly_mmd(torch.tensor(p), torch.tensor(q), degree=2, gamma=0.1, coef=0.5)))
    yield "kid_torchmetrics", np.mean(values)
    yield "kid_torchmetrics_std", np.std(values)


def kad_rows():
    a, b = x(120, 24), y(90, 24)
    for kernel in ("gaussian", "iq", "imq"):
        for name, width in (("reference", lower_median(a)), ("evaluated", lower_median(b))):
            given = None if name == "evaluated" else float(width)
            tool = kadtk.kad.calc_kernel_audio_distance(torch.tensor(a), torch.tensor(b), (None, None), "cpu", given, kernel)
            yield near(f"kad_{kernel}_{name}", float(tool), kad(a, b, kernel, width), 1e-4)


def other_rows():
    a, b = (u.astype(np.float64) for u in (x(120, 24), y(90, 24)))
    a, b = (u / np.linalg.norm(u, axis=1, keepdims=True) for u in (a, b))
    k = lambda u, v: np.expm1(-distances(u, v) / 200)
    yield "cmmd", 1000 * mmd(k(a, a), k(b, b), k(a, b), False)
    w = np.linalg.eigvalsh(a @ a.T / len(a))
    w = w[w > 1e-12]
    yield "vendi_1", np.exp(-(w * np.log(w)).sum())
    yield "vendi_2", 1 / (w**2).sum()
    yield "vendi_half", np.sqrt(w).sum() ** 2
    yield "vendi_inf", 1 / w.max()


def main():
    OUT.parent.mkdir(exist_ok=True)
    rows = [r for make in (frechet_rows, fad_inf_rows, kid_rows, kad_rows, other_rows) for r in make()]
    OUT.write_text("".join(f"{name} {value:.15g}\n" for name, value in rows))


if __name__ == "__main__":
    main()
