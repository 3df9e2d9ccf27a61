"""UNet2DConditionModel fixtures: SD 1.x, 2.x and XL shaped configs and the config fields around them."""

import sys

import torch
from diffusers import UNet2DConditionModel

import common

# One weight of every kind of layer; kinds that a config lacks are passed over.
KINDS = [
    r"^conv_in\.weight", r"^conv_in\.bias", r"^time_embedding\.linear_1\.weight", r"^time_embedding\.linear_2\.bias",
    r"^time_embedding\.cond_proj", r"^class_embedding\.", r"^add_embedding\.linear_1\.weight", r"^encoder_hid_proj\.weight",
    r"resnets.*norm1\.weight", r"resnets.*conv1\.weight", r"time_emb_proj\.weight", r"resnets.*norm2\.bias",
    r"conv2\.bias", r"conv_shortcut\.weight", r"downsamplers.*weight", r"upsamplers.*weight",
    r"attentions\.\d\.norm\.weight", r"proj_in\.weight", r"attn1\.to_q", r"attn1\.to_v", r"attn2\.to_k", r"attn2\.to_v",
    r"to_out\.0\.weight", r"to_out\.0\.bias", r"transformer_blocks.*norm[123]\.weight", r"ff\.net\.0\.proj\.weight",
    r"ff\.net\.0\.proj\.bias", r"ff\.net\.2\.weight", r"proj_out\.weight", r"^conv_norm_out\.weight", r"^conv_out\.weight",
]

CROSS_LAST = dict(
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
)
THREE = dict(
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
)

# name: (config, (height, width), context tokens or 0, extra inputs)
CASES = {
    "unet_sd1": (
        dict(sample_size=32, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=2,
             attention_head_dim=8, **CROSS_LAST),
        (8, 8), 7, (),
    ),
    "unet_sd1_crossfirst": (
        dict(sample_size=16, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=4,
             attention_head_dim=2, down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
             up_block_types=("UpBlock2D", "CrossAttnUpBlock2D")),
        (8, 6), 4, (),
    ),
    "unet_sd2": (
        dict(sample_size=16, block_out_channels=(8, 16), layers_per_block=1, cross_attention_dim=12, norm_num_groups=4,
             attention_head_dim=(2, 4), use_linear_projection=True, upcast_attention=True, **CROSS_LAST),
        (8, 8), 7, (),
    ),
    "unet_xl": (
        dict(sample_size=16, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=16, norm_num_groups=1,
             attention_head_dim=(2, 4), use_linear_projection=True, addition_embed_type="text_time",
             addition_time_embed_dim=8, transformer_layers_per_block=(1, 2),
             projection_class_embeddings_input_dim=80, **CROSS_LAST),
        (8, 8), 7, ("text_embeds", "time_ids"),
    ),
    "unet_xl_depth": (
        dict(sample_size=16, block_out_channels=(4, 4, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=2,
             attention_head_dim=(1, 2, 4), use_linear_projection=True, addition_embed_type="text_time",
             addition_time_embed_dim=4, transformer_layers_per_block=(1, 1, 2),
             projection_class_embeddings_input_dim=32, **THREE),
        (8, 12), 5, ("text_embeds", "time_ids"),
    ),
    "unet_odd_3level": (
        dict(sample_size=13, block_out_channels=(4, 8, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=4,
             attention_head_dim=2, **THREE),
        (13, 11), 3, (),
    ),
    "unet_layers_list": (
        dict(sample_size=8, block_out_channels=(4, 8, 4), layers_per_block=(1, 2, 1), cross_attention_dim=(6, 6, 6),
             norm_num_groups=2, attention_head_dim=(4, 2, 1), **THREE),
        (8, 8), 3, (),
    ),
    "unet_class_embed": (
        dict(sample_size=8, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=2,
             attention_head_dim=2, num_class_embeds=10, **CROSS_LAST),
        (6, 6), 3, ("class_index",),
    ),
    "unet_class_concat": (
        dict(sample_size=8, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=(4, 8), norm_num_groups=2,
             attention_head_dim=2, class_embed_type="simple_projection", projection_class_embeddings_input_dim=6,
             class_embeddings_concat=True, **CROSS_LAST),
        (8, 6), 0, ("class_vector",),
    ),
    "unet_class_timestep": (
        dict(sample_size=8, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=2,
             attention_head_dim=2, class_embed_type="timestep", **CROSS_LAST),
        (6, 6), 3, ("class_level",),
    ),
    "unet_class_projection": (
        dict(sample_size=8, in_channels=5, out_channels=3, block_out_channels=(4, 8), layers_per_block=1,
             cross_attention_dim=8, norm_num_groups=2, attention_head_dim=2, class_embed_type="projection",
             projection_class_embeddings_input_dim=6, encoder_hid_dim=5, encoder_hid_dim_type="text_proj",
             conv_in_kernel=5, conv_out_kernel=1, **CROSS_LAST),
        (6, 6), 3, ("class_vector",),
    ),
    "unet_scale_shift": (
        dict(sample_size=8, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=2,
             attention_head_dim=2, resnet_time_scale_shift="scale_shift", resnet_out_scale_factor=1.4,
             mid_block_scale_factor=1.2, time_embedding_dim=12, **CROSS_LAST),
        (6, 8), 3, (),
    ),
    "unet_time_cond": (
        dict(sample_size=8, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=2,
             attention_head_dim=2, time_cond_proj_dim=6, **CROSS_LAST),
        (6, 6), 3, ("timestep_cond", "fractional"),
    ),
    "unet_flip_nomid": (
        dict(sample_size=8, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=2,
             attention_head_dim=2, flip_sin_to_cos=False, freq_shift=1, mid_block_type=None, center_input_sample=True,
             norm_eps=1e-4, **CROSS_LAST),
        (8, 8), 3, (),
    ),
}


def make_inputs(config, size, tokens, extras, seed):
    gen = common.generator(seed)
    batch = 2
    draw = lambda *shape: torch.randn(*shape, generator=gen)
    inputs = {"sample": draw(batch, config.get("in_channels", 4), *size)}
    inputs["timestep"] = torch.tensor([123.4, 799.25]) if "fractional" in extras else torch.tensor([37, 801])
    if tokens:
        cross = config.get("encoder_hid_dim") or config["cross_attention_dim"]
        inputs["encoder_hidden_states"] = draw(batch, tokens, cross[0] if isinstance(cross, tuple) else cross)
    if "text_embeds" in extras:
        width = config["projection_class_embeddings_input_dim"] - 6 * config["addition_time_embed_dim"]
        inputs["text_embeds"] = draw(batch, width)
        inputs["time_ids"] = torch.tensor([[64.0, 64, 0, 0, 64, 64], [48, 80, 5, 3, 64, 64]])
    if "class_index" in extras:
        inputs["class_labels"] = torch.tensor([3, 9])
    if "class_vector" in extras:
        inputs["class_labels"] = draw(batch, config["projection_class_embeddings_input_dim"])
    if "class_level" in extras:
        inputs["class_labels"] = torch.tensor([20, 350])
    if "timestep_cond" in extras:
        inputs["timestep_cond"] = draw(batch, config["time_cond_proj_dim"])
    return inputs


def call(model, inputs):
    added = {k: inputs[k] for k in ("text_embeds", "time_ids") if k in inputs}
    result = model(
        inputs["sample"], inputs["timestep"], inputs.get("encoder_hidden_states"),
        class_labels=inputs.get("class_labels"), timestep_cond=inputs.get("timestep_cond"),
        added_cond_kwargs=added or None,
    )
    return {"sample": result.sample}


def differentiable(inputs):
    return [k for k in inputs if inputs[k].is_floating_point() and k not in ("timestep", "time_ids")]


def main(names):
    for turn, (name, (config, size, tokens, extras)) in enumerate(CASES.items()):
        if names and name not in names:
            continue
        path = common.folder(name)
        seed = 1000 + 10 * turn
        model = common.build(lambda: UNet2DConditionModel(**config), seed)
        inputs = make_inputs(config, size, tokens, extras, seed + 5)
        weights = common.pick(model, KINDS, turn)
        model.save_pretrained(path)
        tensors = common.record(model, inputs, call, differentiable(inputs), weights, seed)
        common.save_io(path, tensors, **{"class": "UNet2DConditionModel"})


if __name__ == "__main__":
    main(sys.argv[1:])
