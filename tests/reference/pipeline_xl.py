"""pipeline_xl: a whole small StableDiffusionXLPipeline folder, from prompt to picture: two text encoders (the second one pads with
"!"), pooled text, picture sizes, v-prediction with trailing steps, and no negative prompt, which stands for zeros there.

io.safetensors as in pipeline.py, and out.pooled_prompt_embeds.
"""

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionXLPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

import bpe
import clip
import common

PROMPT = "a red circle above a blue square"
STEPS, GUIDANCE, SEED = 3, 4.0, 4500


def make_unet():
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=20, norm_num_groups=2,
        attention_head_dim=(1, 2), down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"), transformer_layers_per_block=(1, 2), use_linear_projection=True,
        addition_embed_type="text_time", addition_time_embed_dim=4, projection_class_embeddings_input_dim=6 + 6 * 4)


def make_vae():
    return AutoencoderKL(
        sample_size=16, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2, scaling_factor=0.13025)


def text_config(vocab, width, pad, **more):
    return CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=width, intermediate_size=16, num_hidden_layers=3, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=vocab[bpe.BOS], eos_token_id=vocab[bpe.EOS], pad_token_id=pad, **more)


def run(pipe, latents):
    record = {}

    def after_step(_, index, __, tensors):
        record[f"out.latents.{index}"] = tensors["latents"].clone()
        return tensors

    options = dict(prompt=[PROMPT] * latents.shape[0], num_inference_steps=STEPS, guidance_scale=GUIDANCE, eta=0.0)
    record["out.latents"] = pipe(latents=latents.clone(), output_type="latent", callback_on_step_end=after_step, **options).images
    record["out.image"] = pipe(latents=latents.clone(), output_type="pt", **options).images
    return record


def main():
    path = common.folder("pipeline_xl")
    vocab = bpe.small_tokenizer(path / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(path / "tokenizer")
    second = CLIPTokenizer.from_pretrained(path / "tokenizer", pad_token="!")
    pipe = StableDiffusionXLPipeline(
        vae=common.build(make_vae, SEED), unet=common.build(make_unet, SEED + 1),
        text_encoder=common.build(lambda: CLIPTextModel(text_config(vocab, 8, vocab[bpe.EOS])), SEED + 2, std=0.5),
        text_encoder_2=common.build(lambda: CLIPTextModelWithProjection(
            text_config(vocab, 12, vocab["!"], projection_dim=6, hidden_act="gelu")), SEED + 3, std=0.5),
        tokenizer=tokenizer, tokenizer_2=second,
        scheduler=DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                                set_alpha_to_one=False, prediction_type="v_prediction", timestep_spacing="trailing"))
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(path)
    bpe.small_tokenizer(path / "tokenizer")
    (path / "tokenizer" / "tokenizer.json").unlink(missing_ok=True)  # the old form; tokenizer_2 stays in the new one
    clip.to_old_form(path / "text_encoder")
    clip.to_old_form(path / "text_encoder_2")

    latents = torch.randn(2, 4, 8, 8, generator=common.generator(SEED + 9))
    pipe = StableDiffusionXLPipeline.from_pretrained(path)
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        tensors = {"latents": latents, **run(pipe, latents)}
        embeds, _, pooled, _ = pipe.encode_prompt(PROMPT)
        tensors["out.prompt_embeds"], tensors["out.pooled_prompt_embeds"] = embeds, pooled
        wide = run(pipe.to(torch.float64), latents.double())
    error = max(common.relative(tensors[k], wide[k]) for k in ("out.latents", "out.image"))
    if error > common.OUT_TOLERANCE:
        raise SystemExit(f"ill-conditioned: float32 against float64 {error:.1e}")
    clipped = ((tensors["out.image"] == 0) | (tensors["out.image"] == 1)).float().mean().item()
    print(f"  float32 against float64 {error:.1e}; {clipped:.0%} of the pixels at the ends of the range")
    common.save_io(path, tensors, prompt=PROMPT, steps=STEPS, guidance=GUIDANCE, eta=0.0)


if __name__ == "__main__":
    main()
