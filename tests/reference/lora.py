"""LoRA fixtures over the UNet of pipeline_sd1 (its weights are not repeated here).

lora_sd1    rank 4, alpha 4, to_q/to_k/to_v/to_out.0, as diffusers' training scripts save it
lora_wide   rank 4, alpha 2 (scale 0.5), also proj_in, proj_out, ff and 3x3 convolutions, in PEFT's names throughout:
            diffusers' own "diffusers form" mixes lora.down with lora_A for such targets, and its loader, which looks
            at the first key only, then drops the attention layers
Files in each: pytorch_lora_weights.safetensors (diffusers' save_lora_weights; lora_wide with lora_adapter_metadata),
kohya.safetensors, peft/adapter_model.safetensors + adapter_config.json. The gradients are those of the LoRA matrices,
named as in pytorch_lora_weights.safetensors. out.sample is the adapted output, aux.base the output without.
"""

import json
import re

import torch
from diffusers import StableDiffusionPipeline
from diffusers.utils import convert_state_dict_to_diffusers
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import load_file

import common
import pipeline
import unet as unet_script

ATTENTION = ["to_q", "to_k", "to_v", "to_out.0"]
CASES = {
    "lora_sd1": dict(r=4, lora_alpha=4, target_modules=ATTENTION),
    "lora_wide": dict(r=4, lora_alpha=2, target_modules=[
        *ATTENTION, "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2", "conv1", "conv_shortcut",
        "time_emb_proj", "downsamplers.0.conv"]),
}


def kohya(state, alpha):
    """PEFT names -> lora_unet_FLATTENED.lora_down/lora_up.weight and .alpha."""
    out = {}
    for name, value in state.items():
        module, which = re.fullmatch(r"(.*)\.lora_([AB])\.weight", name).groups()
        flat = "lora_unet_" + module.replace(".", "_")
        out[f"{flat}.{'lora_down' if which == 'A' else 'lora_up'}.weight"] = value.contiguous()
        out[f"{flat}.alpha"] = torch.tensor(float(alpha))
    return out


def file_form(state):
    """Renamed to lora.down/lora.up where that holds for all layers, else as it is."""
    if all(re.search(r"\.to_(q|k|v|out\.0)\.", name) for name in state):
        return convert_state_dict_to_diffusers(state)
    return state


def file_names(state):
    """Parameter name in the model -> name in the diffusers file; the conversion keeps the order of the entries."""
    converted = file_form(state)
    for (old, a), (new, b) in zip(state.items(), converted.items(), strict=True):
        if a is not b:
            raise SystemExit(f"{old} and {new} are not the same tensor")
    return {old.replace(".weight", ".default.weight"): f"unet.{new}" for old, new in zip(state, converted)}


def check_reload(path, expected, inputs):
    """Both files, loaded by diffusers into a fresh UNet, must give the expected output."""
    for name in ("pytorch_lora_weights.safetensors", "kohya.safetensors"):
        model = pipeline.load_unet()
        state, alphas = StableDiffusionPipeline.lora_state_dict(path, weight_name=name)
        metadata = None
        if name.startswith("pytorch"):
            state, alphas, metadata = StableDiffusionPipeline.lora_state_dict(path, weight_name=name,
                                                                            return_lora_metadata=True)
        StableDiffusionPipeline.load_lora_into_unet(state, alphas, model, metadata=metadata)
        with torch.no_grad():
            error = common.relative(unet_script.call(model, inputs)["sample"], expected)
        if error > 1e-6:
            raise SystemExit(f"{name}, loaded again, is off by {error:.1e}")


def make(name, options, seed):
    path = common.folder(name)
    model = pipeline.load_unet()
    inputs = {"sample": torch.randn(2, 4, 8, 8, generator=common.generator(seed)), "timestep": torch.tensor([37, 801]),
              "encoder_hidden_states": torch.randn(2, 7, 8, generator=common.generator(seed + 1))}
    with torch.no_grad():
        base = unet_script.call(model, inputs)["sample"]
    config = LoraConfig(init_lora_weights="gaussian", **options)
    model.add_adapter(config)
    gen = common.generator(seed + 2)
    with torch.no_grad():
        for key, weight in model.named_parameters():
            if "lora_" in key:
                weight.copy_(torch.randn(weight.shape, generator=gen) * 0.3)
    state = get_peft_model_state_dict(model)

    metadata = None
    if options["lora_alpha"] != options["r"]:
        metadata = {k: sorted(v) if isinstance(v, set) else v for k, v in config.to_dict().items()}
    StableDiffusionPipeline.save_lora_weights(path, unet_lora_layers=file_form(state),
                                              unet_lora_adapter_metadata=metadata)
    header = {"ss_network_dim": str(options["r"]), "ss_network_alpha": str(float(options["lora_alpha"])),
              "ss_network_module": "networks.lora", "ss_v2": "False"}
    common.save(kohya(state, options["lora_alpha"]), path / "kohya.safetensors", header)
    (path / "peft").mkdir()
    common.save({f"base_model.model.{k}": v.contiguous() for k, v in state.items()},
                path / "peft" / "adapter_model.safetensors", {"format": "pt"})
    config.save_pretrained(path / "peft")
    adapter_config = json.loads((path / "peft" / "adapter_config.json").read_text())
    adapter_config["target_modules"].sort()  # a set: its order changes from run to run
    (path / "peft" / "adapter_config.json").write_text(json.dumps(adapter_config, indent=2) + "\n")

    names = file_names(state)
    stored = load_file(path / "pytorch_lora_weights.safetensors")
    if set(names.values()) != set(stored):
        raise SystemExit(f"names in the file: {sorted(set(stored) ^ set(names.values()))[:4]}")
    # One down and one up matrix per kind of layer.
    kinds = sorted({re.sub(r"^.*?(attn\d\.|ff\.|)([a-z]\w*(\.\d)?(\.proj)?)\.lora_[AB]\..*$", r"\1\2", k) for k in names})
    weights = []
    for turn, kind in enumerate(kinds):
        modules = sorted({k.split(".lora_")[0] for k in names if k.split(".lora_")[0].endswith(kind)})
        module = modules[turn % len(modules)]
        weights += [f"{module}.lora_{w}.default.weight" for w in "AB" if f"{module}.lora_A.default.weight" in names]
    weights = list(dict.fromkeys(weights))
    tensors = common.record(model, inputs, unet_script.call, ["sample", "encoder_hidden_states"], weights, seed)
    tensors = {f"grad.{names[k[5:]]}" if k[5:] in names else k: v for k, v in tensors.items()}
    tensors["aux.base"] = base
    print(f"  {len(state)} matrices; the adapter moves the output by {common.relative(tensors['out.sample'], base):.2f}")
    check_reload(path, tensors["out.sample"], inputs)
    common.save_io(path, tensors, **{"class": "UNet2DConditionModel", "base": "pipeline_sd1/unet"})


def main():
    for index, (name, options) in enumerate(CASES.items()):
        make(name, options, 5000 + 10 * index)


if __name__ == "__main__":
    main()
