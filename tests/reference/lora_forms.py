"""LoRA files of ours in diffusers and PEFT, on the shipped generator: the same pictures there as here.

    lora_forms.py TILLER [LORA.kohya.safetensors]

TILLER is the program. Without a LoRA a very short PRDP run makes one for the UNet (its learning rate is far too high, so
that the pictures move). Random matrices for the text encoder go beside it, with an alpha that is not the rank. `tiller convert`
writes the other forms of that file, `tiller merge` a whole pipeline; each is loaded by load_lora_weights, PeftModel or
from_pretrained and draws two prompts from the same latents as `tiller sample --lora`. Nothing is written into the tree.
"""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers
from diffusers import DDIMScheduler, StableDiffusionPipeline
from diffusers.utils import logging
from peft import PeftModel
from PIL import Image
from safetensors.torch import load_file, save_file

ROOT = pathlib.Path(__file__).resolve().parents[2]
MODEL = ROOT / "assets/models/shapes"
PROMPTS = ["a small red circle above a large blue square", "a green triangle"]
STEPS, GUIDANCE = 10, 2.5


def tiller(*words):
    subprocess.run([TILLER, *map(str, words)], check=True, stdout=subprocess.DEVNULL)


def train(folder):
    tiller("train", "--method", "prdp", "--model", MODEL, "--prompts", ROOT / "assets/prompts/shapes-8.txt",
           "--reward", f"clip:{ROOT / 'assets/encoders/shapes-clip'}", "--raw-rewards", "--epochs", 1, "--prompts-per-epoch", 2,
           "--samples-per-prompt", 2, "--minibatches", 1, "--passes", 2, "--steps", 4, "--eta", 1, "--guidance", 1, "--lr", 0.02, "--rank", 4,
           "--eval-samples", 2, "--device", "cpu", "--seed", 1, "-q", "-o", folder)
    return next(folder.glob("lora/*.kohya.safetensors"))


def with_text_encoder(unet_file, path):
    """Rank 2, alpha 3 on the text encoder's attention, drawn anew."""
    tensors = load_file(unet_file)
    gen = torch.Generator().manual_seed(5)
    weights = load_file(MODEL / "text_encoder/model.safetensors")
    for name in sorted(weights):
        if not name.endswith(("q_proj.weight", "v_proj.weight", "out_proj.weight")):
            continue
        out, inner = weights[name].shape
        module = name.removesuffix(".weight")
        module = module if module.startswith("text_model.") else f"text_model.{module}"
        flat = "lora_te_" + module.replace(".", "_")
        tensors[f"{flat}.lora_down.weight"] = torch.randn(2, inner, generator=gen) * 0.1
        tensors[f"{flat}.lora_up.weight"] = torch.randn(out, 2, generator=gen) * 0.1
        tensors[f"{flat}.alpha"] = torch.tensor(3.0)
    save_file(tensors, path)


def for_this_transformers(folder, text_encoder):
    """transformers 5 dropped "text_model." from CLIPTextModel's names, and PEFT does not map them: our folder has the older ones."""
    if hasattr(text_encoder, "text_model"):
        return folder
    path = folder / "adapter_model.safetensors"
    save_file({k.replace(".text_model.", "."): v for k, v in load_file(path).items()}, path)
    print("  PEFT: text_model. taken out of the text encoder's keys for transformers 5")
    return folder


def diffusers_pictures(pipe, latents):
    pipe.scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    out = pipe(PROMPTS, latents=latents.clone(), num_inference_steps=STEPS, guidance_scale=GUIDANCE, eta=0.0, output_type="np")
    return (out.images * 255).round().astype("uint8")


def tiller_pictures(folder, latents, *options):
    words = [w for p in PROMPTS for w in ("--prompt", p)]
    tiller("sample", *words, "--init-latents", latents, "--sampler", "ddim", "--steps", STEPS, "--guidance", GUIDANCE, "--device", "cpu",
           "-q", "-o", folder, *options)
    return np.stack([np.asarray(Image.open(p).convert("RGB")) for p in sorted(folder.glob("*.png"))])


def fresh(model=MODEL):
    return StableDiffusionPipeline.from_pretrained(model, safety_checker=None, torch_dtype=torch.float32)


def show(what, ours, theirs, base=None):
    apart = np.abs(ours.astype(int) - theirs.astype(int))
    moved = "" if base is None else f"; the LoRA moves the pictures by {np.abs(base.astype(int) - theirs.astype(int)).mean():.1f} levels"
    print(f"{what}: at most {apart.max()} levels apart, mean {apart.mean():.1e}, {np.mean(apart == 0) * 100:.2f} % equal{moved}")
    if apart.max() > 1:
        raise SystemExit("more than one level apart")


def main(work, unet_file):
    work = pathlib.Path(work)
    kohya = work / "both.kohya.safetensors"
    with_text_encoder(unet_file or train(work / "run"), kohya)
    tiller("convert", kohya, "--model", MODEL, "--format", "diffusers", "-o", work / "d/")
    tiller("convert", kohya, "--model", MODEL, "--format", "peft", "--part", "unet", "-o", work / "pu")
    tiller("convert", kohya, "--model", MODEL, "--format", "peft", "--part", "text_encoder", "-o", work / "pt")
    tiller("convert", work / "d", "--model", MODEL, "--format", "kohya", "-o", work / "k2.safetensors")
    tiller("merge", "--model", MODEL, "--lora", kohya, "--dtype", "f32", "-o", work / "merged")

    latents = torch.randn(len(PROMPTS), 4, 16, 16, generator=torch.Generator().manual_seed(3))
    noise = work / "latents.safetensors"
    save_file({"latents": latents}, noise)
    base = diffusers_pictures(fresh(), latents)
    show("no LoRA", tiller_pictures(work / "s0", noise, "--model", MODEL), base)

    def loaded(path):
        pipe = fresh()
        pipe.load_lora_weights(path.parent, weight_name=path.name)
        return pipe

    for name, path in {"diffusers form": work / "d/pytorch_lora_weights.safetensors", "kohya form": kohya,
                       "kohya form of the diffusers form": work / "k2.safetensors"}.items():
        pipe = loaded(path)
        print(f"  {name}: adapters in {sorted(pipe.get_list_adapters())}")
        show(name, tiller_pictures(work / f"s-{path.stem}", noise, "--model", MODEL, "--lora", path), diffusers_pictures(pipe, latents), base)
    pipe = loaded(work / "d/pytorch_lora_weights.safetensors")
    pipe.set_adapters(pipe.get_active_adapters(), [0.5])
    show("diffusers form at scale 0.5", tiller_pictures(work / "s-half", noise, "--model", MODEL, "--lora", f"{work / 'd'}@0.5"),
         diffusers_pictures(pipe, latents), base)

    pipe = fresh()
    pipe.unet = PeftModel.from_pretrained(pipe.unet, work / "pu").merge_and_unload()
    ours = tiller_pictures(work / "s-peft", noise, "--model", MODEL, "--lora", work / "pu", "--lora", work / "pt")
    text = for_this_transformers(work / "pt", pipe.text_encoder)
    pipe.text_encoder = PeftModel.from_pretrained(pipe.text_encoder, text).merge_and_unload()
    show("PEFT folders, unet and text encoder", ours, diffusers_pictures(pipe, latents), base)
    show("PEFT folders with the newer names", tiller_pictures(work / "s-peft5", noise, "--model", MODEL, "--lora", work / "pu", "--lora", text), ours)
    ours = tiller_pictures(work / "s-merged", noise, "--model", work / "merged")
    show("merged pipeline", ours, diffusers_pictures(fresh(work / "merged"), latents), base)
    show("merged against --lora, both here", ours, tiller_pictures(work / "s-again", noise, "--model", MODEL, "--lora", kohya))


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    TILLER = sys.argv[1]
    torch.set_num_threads(1)
    logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        main(folder, sys.argv[2] if len(sys.argv) > 2 else None)
