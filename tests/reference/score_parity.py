"""Every metric of `tiller score` beside the tool that people use for it, from the same files to the number.

    score_parity.py TILLER [--work FOLDER] [--shared FOLDER] [TOOL ...]

Runs in the audio environment (README.md). Makes pictures, sounds and random weights in --work (3 GB, kept for the next
time), runs the tools in this process and TILLER beside them, prints a table, and exits with 1 if a tool that is
deterministic is further than 1e-4 from ours, or one that draws further than three of its own deviations.
"""

import os
import pathlib
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.append(sys.path.pop(0))  # clip.py and others of this folder must not hide the packages of those names

import argparse
import traceback
import types
import warnings

import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent


def quieten():
    """No downloads at import: laion_clap wants three tokenizers, kadtk a window system."""
    for name in ("BertTokenizer", "BartTokenizer"):
        getattr(transformers, name).from_pretrained = classmethod(lambda cls, *a, **k: None)
    real = transformers.RobertaTokenizer.from_pretrained.__func__
    transformers.RobertaTokenizer.from_pretrained = classmethod(
        lambda cls, path, *a, **k: real(cls, path, *a, **k) if pathlib.Path(path).exists() else None)
    turtle = types.ModuleType("turtle")
    turtle.st = None
    sys.modules["turtle"] = turtle
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    # Tests of the tools' numbers, not of torch's fast paths.
    torch.backends.mkldnn.enabled = True


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tiller")
    parser.add_argument("--work", default=pathlib.Path(tempfile.gettempdir()) / "score_parity", type=pathlib.Path)
    parser.add_argument("--shared", default=HERE.parents[2] / "shared" / "data", type=pathlib.Path)
    parser.add_argument("tools", nargs="*")
    args = parser.parse_intermixed_args()
    quieten()
    import parity_data
    import parity_images
    import parity_sounds
    import parity_table
    import parity_weights
    tools = {**parity_images.TOOLS, **parity_sounds.TOOLS}
    unknown = [n for n in args.tools if n not in tools]
    if unknown:
        sys.exit(f"no tool {unknown[0]}; there are {', '.join(tools)}")
    work = args.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    parity_data.make(work, args.shared, 70, 20)
    parity_weights.make(work, args.shared)
    table = parity_table.Table(pathlib.Path(args.tiller).resolve(), work)
    failed = 0
    for name in args.tools or tools:
        try:
            tools[name](table, work)
        except Exception:
            failed += 1
            traceback.print_exc()
            print(f"{name}: FAILED", flush=True)
    far = table.print()
    if far or failed:
        sys.exit(f"{far} rows too far, {failed} tools failed")


if __name__ == "__main__":
    main()
