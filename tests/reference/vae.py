"""AutoencoderKL fixtures. One io.safetensors serves both methods: `sample` with out.mean, out.logvar for encode,
`z` with out.sample for decode; gradients of encoder and quant_conv weights belong to encode, the others to decode."""

import sys

import torch
from diffusers import AutoencoderKL

import common

ENCODER = [
    r"^encoder\.conv_in\.weight", r"^encoder\..*resnets.*norm1\.weight", r"^encoder\..*conv1\.weight",
    r"^encoder\..*conv_shortcut\.weight", r"^encoder\..*downsamplers.*weight", r"^encoder\..*group_norm\.weight",
    r"^encoder\..*to_q\.weight", r"^encoder\..*to_k\.weight", r"^encoder\..*to_v\.bias", r"^encoder\..*to_out\.0\.weight",
    r"^encoder\.conv_norm_out\.bias", r"^encoder\.conv_out\.weight", r"^quant_conv\.weight",
]
DECODER = [
    r"^post_quant_conv\.weight", r"^decoder\.conv_in\.bias", r"^decoder\..*mid_block.*conv2\.weight",
    r"^decoder\..*to_q\.bias", r"^decoder\..*to_v\.weight", r"^decoder\..*conv_shortcut\.weight",
    r"^decoder\..*upsamplers.*weight", r"^decoder\..*up_blocks.*norm2\.weight", r"^decoder\.conv_norm_out\.weight",
    r"^decoder\.conv_out\.weight",
]

DOWN, UP = "DownEncoderBlock2D", "UpDecoderBlock2D"
# name: (config, picture (height, width))
CASES = {
    "vae_sd": (
        dict(sample_size=32, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, latent_channels=4,
             down_block_types=(DOWN,) * 2, up_block_types=(UP,) * 2),
        (12, 16),
    ),
    "vae_3level_noquant": (
        dict(sample_size=32, block_out_channels=(4, 4, 8), layers_per_block=1, norm_num_groups=4, latent_channels=4,
             down_block_types=(DOWN,) * 3, up_block_types=(UP,) * 3, use_quant_conv=False, use_post_quant_conv=False,
             scaling_factor=0.36, shift_factor=0.12),
        (16, 24),
    ),
    "vae_odd_latent": (
        dict(sample_size=32, block_out_channels=(4, 6), layers_per_block=2, norm_num_groups=2, latent_channels=3,
             down_block_types=(DOWN,) * 2, up_block_types=(UP,) * 2, scaling_factor=0.13025),
        (10, 14),
    ),
    "vae_noattn": (
        dict(sample_size=32, in_channels=1, out_channels=1, block_out_channels=(4, 8), layers_per_block=1,
             norm_num_groups=2, latent_channels=2, mid_block_add_attention=False,
             down_block_types=(DOWN,) * 2, up_block_types=(UP,) * 2),
        (11, 13),  # odd: the bottom and right padding of the downsampler meets both parities
    ),
}


def encode(model, inputs):
    posterior = model.encode(inputs["sample"]).latent_dist
    return {"mean": posterior.mean, "logvar": posterior.logvar}


def decode(model, inputs):
    return {"sample": model.decode(inputs["z"]).sample}


def main(names):
    for turn, (name, (config, size)) in enumerate(CASES.items()):
        if names and name not in names:
            continue
        path = common.folder(name)
        seed = 2000 + 10 * turn
        model = common.build(lambda: AutoencoderKL(**config), seed)
        model.save_pretrained(path)
        gen = common.generator(seed + 5)
        factor = 2 ** (len(config["block_out_channels"]) - 1)
        picture = {"sample": torch.rand(2, config.get("in_channels", 3), *size, generator=gen) * 2 - 1}
        latent = {"z": torch.randn(2, config["latent_channels"], size[0] // factor, size[1] // factor, generator=gen)}
        tensors = common.record(model, picture, encode, ["sample"], common.pick(model, ENCODER, turn), seed)
        tensors |= common.record(model, latent, decode, ["z"], common.pick(model, DECODER, turn), seed + 1)
        common.save_io(path, tensors, **{"class": "AutoencoderKL"})


if __name__ == "__main__":
    main(sys.argv[1:])
