"""The full SD 1.5 UNet with random weights (not committed: 3.4 GB): sd15_full.py FOLDER [--threads N] [--no-gradients]

Writes FOLDER/unet (config.json, weights in float32), FOLDER/lora (a rank-4 LoRA on to_q, to_k, to_v, to_out.0 with
non-zero matrices), FOLDER/io.safetensors (one 64x64 latent, 77 context tokens: the plain output, and gradients by the
input, the context and four weights), FOLDER/io_lora.safetensors (the same with the adapter: gradients of all its
matrices). Prints one JSON line with PyTorch's time and peak memory for a forward and for a forward and backward into
the LoRA, each in a process of its own.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict

import common
import lora
import unet as unet_script

CONFIG = dict(sample_size=64, cross_attention_dim=768, attention_head_dim=8)
WEIGHTS = [
    "conv_in.weight",
    "down_blocks.1.attentions.0.transformer_blocks.0.attn2.to_k.weight",
    "mid_block.resnets.0.time_emb_proj.bias",
    "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.2.bias",
]
SEED = 7000


def build(folder):
    """Default initialisation (it keeps the activations' size), with norms and biases moved by N(0, 0.1^2)."""
    torch.manual_seed(SEED)
    model = UNet2DConditionModel(**CONFIG)
    gen = common.generator(SEED + 1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 1:
                weight.add_(torch.randn(weight.shape, generator=gen) * 0.1)
    model.save_pretrained(folder / "unet")
    model.add_adapter(LoraConfig(r=4, lora_alpha=4, init_lora_weights="gaussian", target_modules=lora.ATTENTION))
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_" in name:
                # Down matrices of 1/sqrt(in) and up matrices of 0.1 give an adapter that matters and does not dominate.
                size = weight.shape[1] ** -0.5 if "lora_A" in name else 0.1
                weight.copy_(torch.randn(weight.shape, generator=gen) * size)
    state = get_peft_model_state_dict(model)
    StableDiffusionPipeline.save_lora_weights(folder / "lora", unet_lora_layers=convert_state_dict_to_diffusers(state))


def load(folder, with_lora):
    model = UNet2DConditionModel.from_pretrained(folder / "unet").eval()
    model.requires_grad_(False)
    if with_lora:
        state, alphas = StableDiffusionPipeline.lora_state_dict(folder / "lora")
        StableDiffusionPipeline.load_lora_into_unet(state, alphas, model, adapter_name="default")
        for name, weight in model.named_parameters():
            weight.requires_grad_("lora_" in name)
    return model


def make_inputs():
    gen = common.generator(SEED + 2)
    return {"sample": torch.randn(1, 4, 64, 64, generator=gen), "timestep": torch.tensor([500]),
            "encoder_hidden_states": torch.randn(1, 77, 768, generator=gen)}


def gradients(folder):
    """io.safetensors and io_lora.safetensors, one after the other so that one model is in memory at a time."""
    inputs = make_inputs()
    cotangent = torch.randn(1, 4, 64, 64, generator=common.generator(SEED + 3))
    for file, with_lora in (("io", False), ("io_lora", True)):
        model = load(folder, with_lora)
        parameters = dict(model.named_parameters())
        leaves = {k: inputs[k].clone().requires_grad_(True) for k in ("sample", "encoder_hidden_states")}
        if with_lora:
            names = lora.file_names(get_peft_model_state_dict(model))
            names = {k: v for k, v in names.items() if parameters[k].requires_grad}
        else:
            names = {k: k for k in WEIGHTS}
        for name in names:
            parameters[name].requires_grad_(True)
        output = unet_script.call(model, {**inputs, **leaves})["sample"]
        grads = torch.autograd.grad((output * cotangent).sum(), [*leaves.values(), *(parameters[n] for n in names)])
        tensors = {**inputs, "out.sample": output.detach(), "cot.sample": cotangent}
        tensors |= {f"grad.{n}": g for n, g in zip([*leaves, *names.values()], grads)}
        tensors = {k: v.contiguous() for k, v in tensors.items()}
        common.save(tensors, folder / f"{file}.safetensors", {"format": "pt", "class": "UNet2DConditionModel"})


def peak_gb():
    """Peak resident memory since start or the last reset. getrusage would also count the parent's before exec."""
    status = pathlib.Path("/proc/self/status").read_text()
    return round(int(re.search(r"VmHWM:\s*(\d+)", status).group(1)) * 1024 / 1e9, 2)


def measure(folder, what):
    """One timing in this process: seconds (the better of two) and its peak memory, loading apart."""
    torch.backends.mkldnn.enabled = True
    model = load(folder, with_lora=True)
    inputs = make_inputs()
    loading = peak_gb()
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # resets the peak
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        if what == "forward":
            with torch.no_grad():
                unet_script.call(model, inputs)
        else:
            (unet_script.call(model, inputs)["sample"] ** 2).mean().backward()
        seconds.append(time.perf_counter() - start)
    print(json.dumps({"seconds": round(min(seconds), 2), "peak_gb": peak_gb(), "loading_peak_gb": loading}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--no-gradients", action="store_true", help="only measure a folder that is there already")
    parser.add_argument("--measure", choices=("forward", "backward"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.measure:
        measure(options.folder, options.measure)
        return
    if not options.no_gradients:
        options.folder.mkdir(parents=True, exist_ok=True)
        build(options.folder)
        gradients(options.folder)
    rows = {"torch": torch.__version__, "threads": options.threads}
    for what in ("forward", "backward"):
        command = [sys.executable, __file__, str(options.folder), "--threads", str(options.threads), "--measure", what]
        rows[what] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
    print(json.dumps(rows))


if __name__ == "__main__":
    main()
