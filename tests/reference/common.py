"""What the fixture scripts share: seeded random weights, the float32/float64 check, and the writer of io.safetensors.

A fixture is a folder tests/fixtures/NAME with a component in diffusers/transformers layout and `io.safetensors`:
inputs under the names of the Python class's forward arguments, `out.FIELD` outputs, `cot.FIELD` cotangents and
`grad.NAME` gradients of sum over fields of sum(out * cot), NAME being an input or a weight by its name in the file.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import copy
import json
import pathlib
import re
import shutil

import torch
from safetensors.torch import save_file

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
# float32 must agree with float64 to these, or the fixture itself is too ill-conditioned to judge anybody by.
OUT_TOLERANCE = 1e-5
GRAD_TOLERANCE = 1e-4

torch.backends.mkldnn.enabled = False  # oneDNN gave NaN once on odd sizes; the plain kernels are also reproducible
torch.set_num_threads(1)


def folder(name):
    """An empty fixture folder."""
    path = FIXTURES / name
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True)
    return path


def generator(seed):
    return torch.Generator().manual_seed(seed)


def build(make, seed, std=0.1):
    """make() under a fixed seed, in eval mode, every weight moved by N(0, std^2): zero-initialised layers hide errors."""
    torch.manual_seed(seed)
    model = make().eval()
    gen = generator(seed + 1)
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(torch.randn(weight.shape, generator=gen) * std)
    return model


def pick(model, patterns, turn=0):
    """For each regular expression one matching weight (the turn-th, cyclically), in order, without repeats."""
    names = [name for name, _ in model.named_parameters()]
    chosen = []
    for index, pattern in enumerate(patterns):
        found = [name for name in names if re.search(pattern, name) and name not in chosen]
        if found:
            chosen.append(found[(turn + index) % len(found)])
    return chosen


def relative(a, b):
    a, b = a.double(), b.double()
    return ((a - b).norm() / b.norm().clamp_min(1e-30)).item()


def _is_real(tensor):
    return tensor.is_floating_point()


def _run(model, inputs, call, cotangents, wrt_inputs, wrt_weights):
    inputs = {k: v.detach().clone() for k, v in inputs.items()}
    for name in wrt_inputs:
        inputs[name].requires_grad_(True)
    parameters = dict(model.named_parameters())
    outputs = call(model, inputs)
    loss = sum((outputs[k] * cotangents[k]).sum() for k in cotangents)
    leaves = [inputs[n] for n in wrt_inputs] + [parameters[n] for n in wrt_weights]
    grads = torch.autograd.grad(loss, leaves)
    return {k: v.detach() for k, v in outputs.items()}, dict(zip([*wrt_inputs, *wrt_weights], grads))


def record(model, inputs, call, wrt_inputs=(), wrt_weights=(), seed=0, aux=None, skip_cotangent=()):
    """Runs call(model, inputs) -> {field: tensor} in float32 and, as a check, in float64; returns io tensors.

    wrt_inputs, wrt_weights: what to differentiate by. skip_cotangent: fields without a cotangent.
    aux(model, inputs) may return further tensors, stored as aux.NAME.
    """
    with torch.no_grad():
        fields = call(model, inputs)
    gen = generator(seed + 77)
    cotangents = {k: torch.randn(v.shape, generator=gen) for k, v in fields.items() if k not in skip_cotangent}
    outputs, grads = _run(model, inputs, call, cotangents, wrt_inputs, wrt_weights)

    wide = copy.deepcopy(model).double()
    wide_inputs = {k: v.double() if _is_real(v) else v for k, v in inputs.items()}
    wide_cot = {k: v.double() for k, v in cotangents.items()}
    wide_out, wide_grads = _run(wide, wide_inputs, call, wide_cot, wrt_inputs, wrt_weights)
    # A bias before a norm of one-channel groups has gradient zero up to rounding: nothing to compare.
    floor = 1e-9 * max([g.abs().max().item() for g in wide_grads.values()] or [0.0])
    for name in [k for k, g in wide_grads.items() if g.abs().max() < floor]:
        print(f"  {name}: gradient is zero, left out")
        del grads[name], wide_grads[name]
    worst_out = max(relative(outputs[k], wide_out[k]) for k in outputs)
    worst_grad = max([relative(grads[k], wide_grads[k]) for k in grads] or [0.0])
    for k, v in {**outputs, **grads}.items():
        if not torch.isfinite(v).all():
            raise SystemExit(f"{k} is not finite")
        if v.abs().max() == 0:
            raise SystemExit(f"{k} is all zero: it tests nothing")
    if worst_out > OUT_TOLERANCE or worst_grad > GRAD_TOLERANCE:
        raise SystemExit(f"ill-conditioned: float32 against float64 outputs {worst_out:.1e}, gradients {worst_grad:.1e}")

    tensors = dict(inputs)
    tensors |= {f"out.{k}": v for k, v in outputs.items()}
    tensors |= {f"cot.{k}": v for k, v in cotangents.items()}
    tensors |= {f"grad.{k}": v for k, v in grads.items()}
    if aux:
        with torch.no_grad():
            tensors |= {f"aux.{k}": v for k, v in aux(model, inputs).items()}
    print(f"  float32 against float64: outputs {worst_out:.1e}, gradients {worst_grad:.1e}; {len(grads)} gradients")
    return tensors


def save(tensors, file, metadata):
    """save_file with the metadata in sorted order (the library's own varies from run to run) and the usual mode."""
    save_file(tensors, str(file), metadata=metadata)
    raw = file.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:8 + length])
    header["__metadata__"] = dict(sorted(metadata.items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    file.write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + length:])
    file.chmod(0o644)


def save_io(path, tensors, **metadata):
    """Writes PATH/io.safetensors."""
    tensors = {k: v.detach().clone().contiguous() for k, v in tensors.items()}
    metadata = {k: str(v) for k, v in metadata.items()}
    save(tensors, path / "io.safetensors", {"format": "pt", **metadata})
    report(path)


def report(path):
    for file in path.rglob("*.safetensors"):
        file.chmod(0o644)
    size = sum(f.stat().st_size for f in path.rglob("*") if f.is_file())
    print(f"{path.name}: {size / 1024:.0f} KiB")
