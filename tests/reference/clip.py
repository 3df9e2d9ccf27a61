"""CLIP fixtures: text, vision and both, in the file forms of transformers before and since version 5."""

import json
import sys

import torch
from safetensors.torch import load_file
from transformers import (CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection,
                          CLIPVisionConfig, CLIPVisionModelWithProjection)

import common

TEXT_KINDS = [
    r"token_embedding\.weight", r"position_embedding\.weight", r"self_attn\.q_proj\.weight", r"self_attn\.k_proj\.weight",
    r"self_attn\.v_proj\.bias", r"self_attn\.out_proj\.weight", r"layer_norm1\.weight", r"layer_norm2\.bias",
    r"fc1\.weight", r"fc2\.bias", r"final_layer_norm\.weight", r"text_projection\.weight",
]
VISION_KINDS = [
    r"class_embedding", r"patch_embedding\.weight", r"position_embedding\.weight", r"pre_layrnorm\.weight",
    r"self_attn\.q_proj\.bias", r"self_attn\.v_proj\.weight", r"self_attn\.out_proj\.bias", r"layer_norm1\.bias",
    r"layer_norm2\.weight", r"fc1\.bias", r"fc2\.weight", r"post_layernorm\.weight", r"visual_projection\.weight",
]

TEXT = dict(vocab_size=99, hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=12, bos_token_id=97, eos_token_id=50, pad_token_id=50)
VISION = dict(hidden_size=12, intermediate_size=18, num_hidden_layers=2, num_attention_heads=3, image_size=20,
              patch_size=5)


def to_old_form(path, prefix="text_model."):
    """Rewrites PATH as transformers 4 saved it: prefixed tensor names, torch_dtype in the config."""
    weights = load_file(path / "model.safetensors")
    weights = {k if k.startswith((prefix, "text_projection", "visual_projection")) else prefix + k: v
               for k, v in weights.items()}
    common.save(weights, path / "model.safetensors", {"format": "pt"})
    config = json.loads((path / "config.json").read_text())
    config.pop("dtype", None)
    config["torch_dtype"] = "float32"
    config["transformers_version"] = "4.45.0"
    (path / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def prompts(seed, length=9, end=50):
    """Three rows: full length, end token early and padded with the end token, padded with 1 after an early end.

    end 50 is not the largest id of its rows and legacy models (eos_token_id 2) get 98, so that the two rules for the
    end of the text give different positions.
    """
    gen = common.generator(seed)
    ids = torch.randint(3, 97, (3, length), generator=gen)
    ids[ids == 50] = 51
    ids[:, 0] = 97
    ids[0, -1] = end
    ids[1, 4:] = end
    ids[2, 6] = end
    ids[2, 7:] = 1
    return ids


def call_text(model, inputs):
    result = model(input_ids=inputs["input_ids"], attention_mask=inputs.get("attention_mask"))
    return {"last_hidden_state": result.last_hidden_state, "pooler_output": result.pooler_output}


def call_text_projection(model, inputs):
    result = model(input_ids=inputs["input_ids"], attention_mask=inputs.get("attention_mask"))
    return {"text_embeds": result.text_embeds, "last_hidden_state": result.last_hidden_state}


def call_vision(model, inputs):
    result = model(pixel_values=inputs["pixel_values"])
    return {"image_embeds": result.image_embeds, "last_hidden_state": result.last_hidden_state}


def call_both(model, inputs):
    result = model(input_ids=inputs["input_ids"], pixel_values=inputs["pixel_values"],
                   attention_mask=inputs.get("attention_mask"))
    return {"logits_per_image": result.logits_per_image, "text_embeds": result.text_embeds,
            "image_embeds": result.image_embeds}


def hidden_states(model, inputs):
    result = model(input_ids=inputs["input_ids"], attention_mask=inputs.get("attention_mask"), output_hidden_states=True)
    return {f"hidden_states.{i}": h for i, h in enumerate(result.hidden_states)}


def renamed(tensors, prefix):
    """grad.WEIGHT names as the old form has them."""
    return {f"grad.{prefix}{k[5:]}" if k.startswith("grad.") and "text_projection" not in k else k: v
            for k, v in tensors.items()}


def text_models():
    # The end-of-text rule by id, in both file forms: the same weights and the same numbers.
    model = common.build(lambda: CLIPTextModel(CLIPTextConfig(**TEXT)), 3000)
    weights = common.pick(model, TEXT_KINDS)
    tensors = common.record(model, {"input_ids": prompts(3005)}, call_text, (), weights, 3000, hidden_states)
    for name in ("clip_text_v5", "clip_text_v4"):
        path = common.folder(name)
        model.save_pretrained(path)
        io = tensors
        if name == "clip_text_v4":
            to_old_form(path)
            io = renamed(tensors, "text_model.")
        common.save_io(path, io, **{"class": "CLIPTextModel"})

    # The legacy rule: eos_token_id 2 in the config means the position of the largest id. Padding with 1, with a mask.
    model = common.build(lambda: CLIPTextModel(CLIPTextConfig(**{**TEXT, "eos_token_id": 2, "hidden_act": "gelu"})), 3010)
    weights = common.pick(model, TEXT_KINDS, 1)
    ids = prompts(3015, end=98)
    mask = torch.tensor([[1] * 9, [1] * 5 + [0] * 4, [1] * 7 + [0] * 2])
    path = common.folder("clip_text_legacy_eos")
    model.save_pretrained(path)
    to_old_form(path)
    tensors = common.record(model, {"input_ids": ids, "attention_mask": mask}, call_text, (), weights, 3010, hidden_states)
    common.save_io(path, renamed(tensors, "text_model."), **{"class": "CLIPTextModel"})

    config = CLIPTextConfig(**{**TEXT, "hidden_act": "gelu", "projection_dim": 10, "layer_norm_eps": 1e-4})
    model = common.build(lambda: CLIPTextModelWithProjection(config), 3020)
    path = common.folder("clip_text_projection")
    model.save_pretrained(path)
    tensors = common.record(model, {"input_ids": prompts(3025, 12)}, call_text_projection, (),
                            common.pick(model, TEXT_KINDS, 2), 3020, hidden_states)
    common.save_io(path, tensors, **{"class": "CLIPTextModelWithProjection"})


def vision_model():
    model = common.build(lambda: CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION, projection_dim=10)), 3030)
    path = common.folder("clip_vision_projection")
    model.save_pretrained(path)
    inputs = {"pixel_values": torch.randn(2, 3, 20, 20, generator=common.generator(3035))}
    tensors = common.record(model, inputs, call_vision, ["pixel_values"], common.pick(model, VISION_KINDS), 3030)
    common.save_io(path, tensors, **{"class": "CLIPVisionModelWithProjection"})


def both(name, seed, masked, **change):
    config = CLIPConfig(text_config={**TEXT, **change, "projection_dim": 14},
                        vision_config={**VISION, "projection_dim": 14},
                        projection_dim=14, logit_scale_init_value=2.6592)
    model = common.build(lambda: CLIPModel(config), seed)
    path = common.folder(name)
    model.save_pretrained(path)
    inputs = {"input_ids": prompts(seed + 5, end=98 if change.get("eos_token_id") == 2 else 50),
              "pixel_values": torch.randn(2, 3, 20, 20, generator=common.generator(seed + 6))}
    if masked:
        inputs["attention_mask"] = torch.tensor([[1] * 9, [1] * 5 + [0] * 4, [1] * 7 + [0] * 2])
    weights = ["logit_scale"]
    weights += [f"text_model.{n}" if not n.startswith("text_projection") else n
                for n in common.pick(model.text_model, TEXT_KINDS[:-1], 1)] + ["text_projection.weight"]
    weights += [f"vision_model.{n}" for n in common.pick(model.vision_model, VISION_KINDS[:-1], 1)]
    weights += ["visual_projection.weight"]
    tensors = common.record(model, inputs, call_both, ["pixel_values"], weights, seed)
    common.save_io(path, tensors, **{"class": "CLIPModel"})


def main():
    text_models()
    vision_model()
    both("clip_model", 3040, masked=False)
    both("clip_model_masked", 3050, masked=True, eos_token_id=2)


if __name__ == "__main__":
    sys.exit(main())
