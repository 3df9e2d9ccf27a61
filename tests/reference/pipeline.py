"""pipeline_sd1: a whole small StableDiffusionPipeline folder, from prompt to picture with DDIM.

io.safetensors: `latents` (unit noise, as diffusers' latents=), `input_ids`, `negative_input_ids`, out.prompt_embeds,
out.negative_prompt_embeds, out.latents.K after step K, out.latents (last, before division by scaling_factor),
out.image (float NCHW in [0, 1]) and out.image_u8 (NHWC). The metadata holds prompt, negative prompt and settings.
"""

import torch
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import bpe
import clip
import common

PROMPT = "a red circle above a blue square"
NEGATIVE = "a photo of a yellow cat"
STEPS, GUIDANCE, SEED = 4, 5.0, 4000


def make_unet():
    return UNet2DConditionModel(
        sample_size=8, block_out_channels=(4, 8), layers_per_block=1, cross_attention_dim=8, norm_num_groups=2,
        attention_head_dim=2, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"))


def make_vae():
    return AutoencoderKL(
        sample_size=16, block_out_channels=(4, 8), layers_per_block=1, norm_num_groups=2, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2)


def make_text(vocab):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=len(vocab), hidden_size=8, intermediate_size=16, num_hidden_layers=2, num_attention_heads=2,
        max_position_embeddings=77, bos_token_id=vocab[bpe.BOS], eos_token_id=vocab[bpe.EOS],
        pad_token_id=vocab[bpe.EOS]))


def make_scheduler():
    return DDIMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", clip_sample=False,
                         set_alpha_to_one=False, steps_offset=1)


def load_unet():
    """The pipeline's UNet, rebuilt from the same seed: the base of the LoRA fixtures."""
    return common.build(make_unet, SEED + 1)


def run(pipe, latents):
    """The pipeline's tensors for fixed noise, with the latents after every step."""
    record = {}

    def after_step(_, index, __, tensors):
        record[f"out.latents.{index}"] = tensors["latents"].clone()
        return tensors

    count = latents.shape[0]
    options = dict(prompt=[PROMPT] * count, negative_prompt=[NEGATIVE] * count, num_inference_steps=STEPS,
                   guidance_scale=GUIDANCE, eta=0.0)
    last = pipe(latents=latents.clone(), output_type="latent", callback_on_step_end=after_step, **options).images
    picture = pipe(latents=latents.clone(), output_type="pt", **options).images
    if not torch.equal(record[f"out.latents.{STEPS - 1}"], last):
        raise SystemExit("the callback saw other latents than the pipeline returned")
    record["out.latents"] = last
    record["out.image"] = picture
    record["out.image_u8"] = (picture * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    return record


def main():
    path = common.folder("pipeline_sd1")
    vocab = bpe.small_tokenizer(path / "tokenizer")
    tokenizer = CLIPTokenizer.from_pretrained(path / "tokenizer")
    pipe = StableDiffusionPipeline(
        vae=common.build(make_vae, SEED), unet=load_unet(),
        text_encoder=common.build(lambda: make_text(vocab), SEED + 2, std=0.5), tokenizer=tokenizer,
        scheduler=make_scheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    pipe.save_pretrained(path)
    bpe.small_tokenizer(path / "tokenizer")
    (path / "tokenizer" / "tokenizer.json").unlink(missing_ok=True)
    clip.to_old_form(path / "text_encoder")

    latents = torch.randn(2, 4, 8, 8, generator=common.generator(SEED + 9))
    # From here on the folder itself is what runs, so that it is known to load in its old forms.
    pipe = StableDiffusionPipeline.from_pretrained(path)
    pipe.set_progress_bar_config(disable=True)
    with torch.no_grad():
        tensors = {"latents": latents, **run(pipe, latents)}
        for name, text in (("", PROMPT), ("negative_", NEGATIVE)):
            ids = tokenizer(text, padding="max_length", max_length=77, truncation=True, return_tensors="pt").input_ids
            tensors[f"{name}input_ids"] = ids
            tensors[f"out.{name}prompt_embeds"] = pipe.text_encoder(ids)[0]
        wide = run(pipe.to(torch.float64), latents.double())
    error = max(common.relative(tensors[k], wide[k]) for k in ("out.latents", "out.image"))
    if error > common.OUT_TOLERANCE:
        raise SystemExit(f"ill-conditioned: float32 against float64 {error:.1e}")
    embeds = tensors["out.prompt_embeds"], tensors["out.negative_prompt_embeds"]
    clipped = ((tensors["out.image"] == 0) | (tensors["out.image"] == 1)).float().mean().item()
    print(f"  float32 against float64 {error:.1e}; prompts differ by {common.relative(*embeds):.2f}; "
          f"{clipped:.0%} of the pixels at the ends of the range")
    common.save_io(path, tensors, prompt=PROMPT, negative_prompt=NEGATIVE, steps=STEPS, guidance=GUIDANCE, eta=0.0)


if __name__ == "__main__":
    main()
