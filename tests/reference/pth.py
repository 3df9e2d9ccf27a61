"""tests/fixtures/pth: checkpoints by torch.save in both layouts, and the same tensors as safetensors.

all*.pth has every dtype and every form of a tensor; train*.pth is what a training run keeps; many.pth has more than 256 memo
entries; whole.pth is a module, not its state dict. clip/ is a transformers folder with pytorch_model.bin and index.
"""

import argparse
import collections
import json
import shutil

import torch
from safetensors.torch import load_file

from common import FIXTURES, folder, generator, save

DTYPES = ["float32", "float16", "bfloat16", "float64", "int64", "int32", "int16", "int8", "uint8", "bool",
          "uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2"]


def flat(value, name=""):
    """The names that the reader gives: dicts and lists join with '.'."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    out = {}
    for key, item in items:
        out |= flat(item, f"{name}.{key}" if name else str(key))
    return out


def everything():
    gen = generator(5)
    base = torch.randn(6, 4, generator=gen)
    out = {f"dtype.{d}": (torch.rand(5, generator=gen) * 90).to(getattr(torch, d)) for d in DTYPES}
    out["scalar"] = torch.tensor(2.5)
    out["empty"] = torch.zeros(0, 3)
    out["transposed"] = torch.randn(3, 5, generator=gen).t()
    out["permuted"] = torch.randn(2, 3, 4, 5, generator=gen).permute(3, 0, 2, 1)
    out["upper"], out["lower"], out["column"] = base[:3], base[3:], base[:, 2]
    out["steps"] = torch.arange(40.0)[3:33:7]
    out["expanded"] = torch.tensor([1.0, 2.0]).expand(3, 2)
    out["ones"] = torch.randn(4, 1, 1, generator=gen).to(torch.float16)
    out["parameter"] = torch.nn.Parameter(torch.randn(2, 2, generator=gen))
    out["nested"] = {"a": {"b": torch.ones(2)}, "list": [torch.zeros(1), {"x": torch.full((2,), 7.0)}], "epoch": 3}
    out["name"], out["rate"], out["none"] = "a text", 1e-3, None
    return out


def train():
    torch.manual_seed(6)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 3, 3), torch.nn.BatchNorm2d(3), torch.nn.Linear(3, 2))
    optimizer = torch.optim.Adam(net.parameters())
    state = collections.OrderedDict((f"module.{k}", v) for k, v in net.state_dict().items())
    state._metadata = net.state_dict()._metadata
    whole = {"epoch": 3, "args": argparse.Namespace(lr=0.1, seen=torch.ones(3)), "state_dict": state,
             "optimizer": optimizer.state_dict(), "best": torch.tensor(0.5), "big": 2**70}
    return net, whole


def main():
    path = folder("pth")
    tensors = everything()
    expected = {k: v.detach().clone().contiguous() for k, v in flat(tensors).items()}
    save(expected, path / "all.safetensors", {"format": "pt"})
    tensors["unknown"] = argparse.Namespace(seen=torch.ones(3))
    torch.save(tensors, path / "all.pth")
    torch.save(tensors, path / "all_old.pth", _use_new_zipfile_serialization=False)
    torch.save(tensors, path / "all_p4.pth", pickle_protocol=4)

    net, whole = train()
    save({k: v.clone() for k, v in net.state_dict().items()}, path / "train.safetensors", {"format": "pt"})
    torch.save(whole, path / "train.pth")
    torch.save(whole, path / "train_old.pth", _use_new_zipfile_serialization=False)
    torch.save(net, path / "whole.pth")
    torch.save([torch.ones(2), torch.zeros(3, dtype=torch.int64)], path / "list.pth")

    rows = torch.arange(400.0)
    many = {f"row.{i:03}": rows[i:i + 1] for i in range(100)}
    torch.save(many, path / "many.pth")

    # Two shards behind an index, as transformers saved models before safetensors.
    source, clip = FIXTURES / "clip_text_projection", path / "clip"
    clip.mkdir()
    shutil.copy(source / "config.json", clip / "config.json")
    weights = load_file(source / "model.safetensors")
    names, shards = list(weights), ["pytorch_model-00001-of-00002.bin", "pytorch_model-00002-of-00002.bin"]
    index = {name: shards[i % 2] for i, name in enumerate(names)}
    for shard in shards:
        torch.save({k: v for k, v in weights.items() if index[k] == shard}, clip / shard)
    (clip / "pytorch_model.bin.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}, indent=2) + "\n")
    for file in path.rglob("*"):
        if file.is_file():
            file.chmod(0o644)
    print("pth:", sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) // 1024, "KiB")


main()
