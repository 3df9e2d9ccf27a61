"""CLAP fixtures: both towers and the whole, fused and not, clips that are longer and not, padded text.

`clap.py` writes the fixtures. `clap.py full FOLDER [--fused]` writes a random HTSAT-tiny ClapModel of full size and
its io.safetensors into FOLDER, for `tiller forward` and timing by hand; nothing of it is committed.
"""

import pathlib
import sys
import time

import torch
from transformers import (ClapAudioConfig, ClapAudioModelWithProjection, ClapConfig, ClapModel, ClapTextConfig,
                          ClapTextModelWithProjection)

import common

TEXT_KINDS = [
    r"word_embeddings\.weight", r"position_embeddings\.weight", r"token_type_embeddings\.weight",
    r"embeddings\.LayerNorm\.weight", r"self\.query\.weight", r"self\.key\.weight", r"self\.value\.bias",
    r"attention\.output\.dense\.weight", r"attention\.output\.LayerNorm\.bias", r"intermediate\.dense\.weight",
    r"layer\.\d+\.output\.dense\.bias", r"pooler\.dense\.weight", r"text_projection\.linear1\.weight",
    r"text_projection\.linear2\.bias",
]
AUDIO_KINDS = [
    r"audio_encoder\.batch_norm\.weight", r"audio_encoder\.batch_norm\.bias", r"patch_embed\.proj\.weight",
    r"patch_embed\.proj\.bias", r"patch_embed\.norm\.weight", r"blocks\.0.*relative_position_bias_table",
    r"blocks\.1.*relative_position_bias_table", r"self\.query\.weight", r"self\.key\.weight", r"self\.value\.bias",
    r"attention\.output\.dense\.weight", r"layernorm_before\.weight", r"layernorm_after\.bias",
    r"intermediate\.dense\.weight", r"blocks\.\d+\.output\.dense\.bias", r"downsample\.reduction\.weight",
    r"downsample\.norm\.bias", r"audio_encoder\.norm\.weight", r"audio_projection\.linear1\.weight",
    r"audio_projection\.linear2\.weight",
]
FUSION_KINDS = [
    r"patch_embed\.mel_conv2d\.weight", r"local_att\.0\.weight", r"local_att\.1\.weight", r"local_att\.3\.bias",
    r"global_att\.1\.weight", r"global_att\.2\.bias", r"global_att\.4\.weight", r"global_att\.5\.weight",
]

# The tiny models of transformers' own tests, with fewer positions.
TEXT = dict(vocab_size=99, hidden_size=32, intermediate_size=37, num_hidden_layers=2, num_attention_heads=4,
            max_position_embeddings=40, projection_dim=32)
AUDIO = dict(num_mel_bins=16, window_size=4, spec_size=64, patch_size=2, patch_stride=2, patch_embeds_hidden_size=16,
             hidden_size=32, depths=[2, 2], num_attention_heads=[2, 2], projection_dim=32)


def build(make, seed):
    """common.build; the running statistics are moved from zeros and ones, too."""
    model = common.build(make, seed, 0.05)
    gen = common.generator(seed + 2)
    for name, buffer in model.named_buffers():
        if name.endswith("running_mean"):
            buffer.copy_(torch.randn(buffer.shape, generator=gen) * 0.3)
        if name.endswith("running_var"):
            buffer.copy_(torch.rand(buffer.shape, generator=gen) + 0.5)
    return model


def texts(seed):
    """Three rows, two of them padded with 1, the mask's zeros."""
    ids = torch.randint(3, 99, (3, 9), generator=common.generator(seed))
    ids[:, 0] = 0
    ids[0, 8] = ids[1, 4] = ids[2, 6] = 2
    ids[1, 5:] = ids[2, 7:] = 1
    return {"input_ids": ids, "attention_mask": (ids != 1).long()}


def clips(seed, n, channels, frames, bands, longer=None):
    """Decibel-like values; `longer` where the model is fused."""
    x = torch.randn(n, channels, frames, bands, generator=common.generator(seed)) * 2 - 1
    inputs = {"input_features": x}
    if longer is not None:
        inputs["is_longer"] = torch.tensor(longer)[:, None]
    return inputs


def call_text(model, inputs):
    result = model(input_ids=inputs["input_ids"], attention_mask=inputs.get("attention_mask"))
    return {"text_embeds": result.text_embeds, "last_hidden_state": result.last_hidden_state}


def call_audio(model, inputs):
    result = model(input_features=inputs["input_features"], is_longer=inputs.get("is_longer"))
    return {"audio_embeds": result.audio_embeds, "last_hidden_state": result.last_hidden_state}


def call_both(model, inputs):
    result = model(**inputs)
    return {k: result[k] for k in ("logits_per_audio", "logits_per_text", "audio_embeds", "text_embeds")}


def write(name, model, inputs, call, wrt_inputs, kinds, seed, turn=0, skip_cotangent=()):
    path = common.folder(name)
    model.save_pretrained(path)
    tensors = common.record(model, inputs, call, wrt_inputs, common.pick(model, kinds, turn), seed,
                            skip_cotangent=skip_cotangent)
    common.save_io(path, tensors, **{"class": type(model).__name__})


def config(fused, **audio):
    return ClapConfig(text_config=TEXT, audio_config={**AUDIO, "enable_fusion": fused, **audio}, projection_dim=64)


def fixtures():
    model = build(lambda: ClapTextModelWithProjection(ClapTextConfig(**{**TEXT, "layer_norm_eps": 1e-5})), 5000)
    # torch gives padding's rows of the tables no gradient; only the states of padded places would ask for one.
    write("clap_text_projection", model, texts(5005), call_text, [], TEXT_KINDS, 5000,
          skip_cotangent=["last_hidden_state"])

    model = build(lambda: ClapModel(config(False)), 5010)
    assert len(model.state_dict()) == 137
    inputs = {**texts(5015), **clips(5016, 2, 1, 32, 16)}
    write("clap_model", model, inputs, call_both, ["input_features"],
          ["logit_scale_a", "logit_scale_t", *TEXT_KINDS, *AUDIO_KINDS], 5010, 1)

    model = build(lambda: ClapModel(config(True)), 5020)
    assert len(model.state_dict()) == 167
    inputs = {**texts(5025), **clips(5026, 3, 4, 32, 16, [True, False, True])}
    write("clap_model_fused", model, inputs, call_both, ["input_features"], [*AUDIO_KINDS, *FUSION_KINDS], 5020)

    # Nobody is longer; the squares are 20 and 10 patches in windows of 3, so that both are padded; no stretching.
    odd = {**AUDIO, "num_mel_bins": 20, "spec_size": 40, "window_size": 3, "depths": [3, 2],
           "num_attention_heads": [2, 4], "qkv_bias": False, "mlp_ratio": 2.5,
           "layer_norm_eps": 1e-4, "hidden_act": "gelu_new", "projection_hidden_act": "silu", "enable_fusion": True}
    model = build(lambda: ClapAudioModelWithProjection(ClapAudioConfig(**odd)), 5030)
    inputs = clips(5035, 2, 4, 80, 20, [False, False])
    write("clap_audio_odd", model, inputs, call_audio, ["input_features"], AUDIO_KINDS, 5030)

    # Overlapping patches of several input channels, MusicLDM's fold of 1, a last stage that is one window.
    wide = {**AUDIO, "num_mel_bins": 64, "patch_embed_input_channels": 4, "patch_size": 4, "spec_size": 64,
            "depths": [2, 2, 2, 2], "num_attention_heads": [2, 2, 4, 4], "patch_embeds_hidden_size": 4}
    model = build(lambda: ClapAudioModelWithProjection(ClapAudioConfig(**wide)), 5040)
    inputs = clips(5045, 1, 4, 41, 64)
    write("clap_audio_wide", model, inputs, call_audio, ["input_features"], AUDIO_KINDS, 5040, 1)


def full(path, fused):
    path.mkdir(parents=True, exist_ok=True)
    model = build(lambda: ClapModel(ClapConfig(audio_config={"enable_fusion": fused})), 5050)
    assert len(model.state_dict()) == (477 if fused else 447)
    model.save_pretrained(path)
    # As loud as front ends give it: -100 to 20 dB.
    inputs = clips(5055, 4, 4 if fused else 1, 1001, 64, [True, False, True, False] if fused else None)
    inputs["input_features"] = inputs["input_features"] * 12 - 30
    ids = torch.randint(3, 50000, (2, 20), generator=common.generator(5056))
    ids[:, 0], ids[0, 19], ids[1, 11] = 0, 2, 2
    ids[1, 12:] = 1
    inputs |= {"input_ids": ids, "attention_mask": (ids != 1).long()}
    with torch.inference_mode():
        outputs = call_both(model, inputs)
        for threads in (1, 2):
            torch.set_num_threads(threads)
            only = {k: v for k, v in inputs.items() if k in ("input_features", "is_longer")}
            model.get_audio_features(**only)
            begin = time.perf_counter()
            model.get_audio_features(**only)
            print(f"{threads} threads: {4 / (time.perf_counter() - begin):.2f} clips a second")
    common.save_io(path, {**inputs, **{f"out.{k}": v for k, v in outputs.items()}}, **{"class": "ClapModel"})


def main(arguments):
    if arguments[:1] == ["full"]:
        return full(pathlib.Path(arguments[1]), "--fused" in arguments)
    return fixtures()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
