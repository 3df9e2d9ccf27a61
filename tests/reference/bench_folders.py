"""Whole folders: wall time and peak memory of `tiller score` beside the Python tools with the same encoder configuration and weights.

    bench_folders.py TILLER PARITY_WORK OUT [--pictures 1000] [--sounds 200] [--only fid,clip,fad,clap] [--device cpu]

PARITY_WORK is the working folder of score_parity.py (weights of Inception and VGGish, tokenizers). Run it where torch, transformers, pytorch-fid and
frechet-audio-distance are installed, on a machine with nothing else to do. Peak memory is that of the largest process of the command.
"""
import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

ap = argparse.ArgumentParser()
ap.add_argument("tiller")
ap.add_argument("parity")
ap.add_argument("out")
ap.add_argument("--pictures", type=int, default=1000)
ap.add_argument("--sounds", type=int, default=200)
ap.add_argument("--only", default="fid,clip,fad,clap")
ap.add_argument("--device", default="cpu")
ap.add_argument("--threads", type=int, default=os.cpu_count())
ap.add_argument("--ours-alone", action="store_true")
ap.add_argument("--tool", help="internal: runs one Python tool")
args = ap.parse_args()
out, parity = Path(args.out), Path(args.parity)


def pictures():
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(1)
    for side in "ab":
        folder = out / f"pictures-{side}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = []
        for i in range(args.pictures // 2):
            w, h = rng.integers(320, 641, 2)
            small = rng.integers(0, 256, (h // 16, w // 16, 3), dtype=np.uint8)
            name = f"{i:04d}.jpg" if i % 2 else f"{i:04d}.png"
            picture = Image.fromarray(small).resize((int(w), int(h)), Image.BICUBIC)
            picture.save(folder / name, **({"quality": 90} if i % 2 else {"compress_level": 1}))
            (folder / name).with_suffix(".txt").write_text(f"picture number {i} of side {side}")


def sounds():
    import numpy as np
    import soundfile

    rng = np.random.default_rng(2)
    t = np.arange(441000) / 44100
    for side in "ab":
        folder = out / f"sounds-{side}"
        folder.mkdir(parents=True, exist_ok=True)
        for i in range(args.sounds // 2):
            x = sum(rng.uniform(0.02, 0.15) * np.sin(2 * np.pi * rng.uniform(60, 8000) * t + rng.uniform(0, 6)) for _ in range(5))
            x = (x + rng.normal(0, 0.02, x.size)).clip(-1, 1)
            soundfile.write(folder / f"{i:04d}.flac", x, 44100, subtype="PCM_16")
            (folder / f"{i:04d}.txt").write_text(f"sound number {i} of side {side}")


def tool_models():
    import torch
    from transformers import ClapConfig, ClapModel, CLIPConfig, CLIPModel

    torch.manual_seed(0)
    for name, cls, config in (("clip", CLIPModel, CLIPConfig()), ("clap", ClapModel, ClapConfig())):
        folder = out / name
        if (folder / "config.json").exists():
            continue
        cls(config).save_pretrained(folder)
        for f in (parity / "weights" / name).iterdir():
            if f.suffix in (".json", ".txt") and f.name != "config.json":
                shutil.copy(f, folder / f.name)


# ---- the Python tools, each in a process of its own ----


def tool_fid():
    import torch
    from pytorch_fid import fid_score, inception

    torch.set_num_threads(args.threads)
    inception.load_state_dict_from_url = lambda *a, **k: torch.load(parity / "weights" / "inception.pth", weights_only=True)
    a, b = str(out / "pictures-a"), str(out / "pictures-b")
    for p in (a, b):
        assert any(Path(p).iterdir())
    # pictures of different sizes: one a batch is what the tool takes
    print(fid_score.calculate_fid_given_paths([a, b], 1, "cpu", 2048, num_workers=2))


def tool_clip():
    import torch
    from PIL import Image
    from transformers import CLIPImageProcessor, CLIPModel, CLIPTokenizer

    torch.set_num_threads(args.threads)
    model = CLIPModel.from_pretrained(out / "clip").eval()
    prep, tok = CLIPImageProcessor(), CLIPTokenizer.from_pretrained(out / "clip")
    files = sorted(p for s in "ab" for p in (out / f"pictures-{s}").iterdir() if p.suffix != ".txt")
    total = 0.0
    with torch.no_grad():
        for i in range(0, len(files), 32):
            batch = files[i : i + 32]
            x = prep(images=[Image.open(f).convert("RGB") for f in batch], return_tensors="pt")
            t = tok([f.with_suffix(".txt").read_text() for f in batch], return_tensors="pt", padding="max_length", max_length=77)
            o = model(**x, input_ids=t.input_ids, attention_mask=t.attention_mask)
            total += float((o.image_embeds * o.text_embeds).sum())
    print(total / len(files))


def tool_fad():
    import torch

    torch.set_num_threads(args.threads)
    sys.path.insert(0, str(Path(__file__).parent))
    import score_parity

    score_parity.quieten()
    import parity_sounds

    torch.set_num_threads(args.threads)
    torch.hub.load = lambda *a, **k: parity_sounds.VGGish(parity / "weights" / "vggish.pth").eval()
    from frechet_audio_distance import FrechetAudioDistance

    copies = []
    for s in "ab":  # the tool takes every file of a folder for a sound
        copy = out / f"only-sounds-{s}"
        if not copy.exists():
            copy.mkdir()
            for f in (out / f"sounds-{s}").glob("*.flac"):
                os.link(f, copy / f.name)
        copies.append(str(copy))
    print(FrechetAudioDistance(model_name="vggish", use_pca=False, use_activation=False).score(*copies))


def tool_clap():
    import soundfile
    import torch
    import torchaudio
    from transformers import AutoTokenizer, ClapFeatureExtractor, ClapModel

    torch.set_num_threads(args.threads)
    model = ClapModel.from_pretrained(out / "clap").eval()
    prep, tok = ClapFeatureExtractor(truncation="rand_trunc", frequency_min=50), AutoTokenizer.from_pretrained(out / "clap")
    files = sorted(p for s in "ab" for p in (out / f"sounds-{s}").glob("*.flac"))
    total = 0.0
    with torch.no_grad():
        for i in range(0, len(files), 8):
            batch = files[i : i + 8]
            xs = []
            for f in batch:
                x, rate = soundfile.read(f, dtype="float32")
                xs.append(torchaudio.functional.resample(torch.from_numpy(x), rate, 48000).numpy())
            x = prep(xs, sampling_rate=48000, return_tensors="pt")
            t = tok([f.with_suffix(".txt").read_text() for f in batch], return_tensors="pt", padding=True)
            o = model(input_features=x["input_features"], is_longer=x["is_longer"], **t)
            total += float((o.audio_embeds * o.text_embeds).sum())
    print(total / len(files))


def timed(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    wall = time.monotonic() - start
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    if done.returncode not in (0, 3):
        return f"failed: {(done.stderr or done.stdout).strip().splitlines()[-1][:120]}", wall, 0
    return done.stdout.strip().splitlines()[-1][:40], wall, peak if peak > before else peak


def measure(name, ours):
    """A process of its own for each, so that ru_maxrss is the command's."""
    for who in ("tiller",) if args.ours_alone else ("python", "tiller"):
        command = ours if who == "tiller" else [sys.executable, __file__, args.tiller, args.parity, args.out, "--tool", name, "--threads", str(args.threads)]
        pid = os.fork()
        if pid == 0:
            said, wall, peak = timed(command)
            print(f"{name:5} {who:7} {args.device if who == 'tiller' else 'cpu':7} {wall:8.1f} s  {peak / 1024:7.0f} MiB  {said}", flush=True)
            os._exit(0)
        os.waitpid(pid, 0)


if args.tool == "models":
    tool_models()
    sys.exit(0)
if args.tool:
    globals()[f"tool_{args.tool}"]()
    sys.exit(0)
out.mkdir(parents=True, exist_ok=True)
if not (out / "pictures-b").exists():
    pictures()
if not (out / "sounds-b").exists():
    sounds()
subprocess.run([sys.executable, __file__, args.tiller, args.parity, args.out, "--tool", "models"], check=True)  # keeps this process small: its size counts below
common = ["--no-cache", "--device", args.device, "--threads", str(args.threads), "--json", "-q", "--seed", "0"]
everything = out / "all"
for kind in ("pictures", "sounds"):
    listing = out / f"{kind}.txt"
    exts = (".png", ".jpg") if kind == "pictures" else (".flac",)
    files = sorted(p for s in "ab" for p in (out / f"{kind}-{s}").iterdir() if p.suffix in exts)
    listing.write_text("".join(f"{p.relative_to(out)}\t{p.with_suffix('.txt').read_text()}\n" for p in files))
score = [args.tiller, "score"]
table = {
    "fid": score + ["fid", str(out / "pictures-a"), str(out / "pictures-b"), "--encoder", f"inception:{parity}/weights/inception.pth"] + common,
    "clip": score + ["clip", str(out / "pictures.txt"), "--encoder", str(out / "clip")] + common,
    "fad": score + ["fad", str(out / "sounds-a"), str(out / "sounds-b"), "--encoder", f"vggish:{parity}/weights/vggish.pth", "--flavour", "gudgud96"] + common,
    "clap": score + ["clap", str(out / "sounds.txt"), "--encoder", str(out / "clap")] + common,
}
for name in args.only.split(","):
    measure(name, table[name])
