"""A whole CLIP scorer: folder with model, tokenizer and preprocessor, pictures of odd sizes with captions, and their cosines.

transformers' PIL-based image processor (the one that published scores were made with), its CLIPTokenizer and CLIPModel.
`expected.json` has one row a picture: file, caption, the cosine, and the first values of the processed picture.
"""

import json
import shutil
import sys

import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import common

CAPTIONS = {
    "exact_20x20.png": "a red circle",
    "wide_64x40.png": "a blue square above a yellow circle",
    "tall_17x43.png": "three small green triangles",
    "large_96x96.png": "A Purple   square, please!",
    "grey_30x31.png": "a gray background",
    "alpha_41x25.png": "two large cyan squares and a small red triangle below three green circles on a white background",
}
SIDE, POSITIONS = 20, 16


def picture(name, seed):
    """Smooth waves with a little noise: neither constant nor dominated by single pixels."""
    width, height = map(int, name.split("_")[1].removesuffix(".png").split("x"))
    gen = common.generator(seed)
    x = torch.arange(width).view(1, width, 1) / width
    y = torch.arange(height).view(height, 1, 1) / height
    f = torch.rand(3, 3, generator=gen) * 9
    wave = torch.sin(f[0] * x + f[1] * y * 2 + f[2]) * 90 + 128 + torch.randn(height, width, 3, generator=gen) * 12
    rgb = wave.clamp(0, 255).to(torch.uint8)
    if name.startswith("grey"):
        return Image.fromarray(rgb[:, :, 0].numpy(), "L")
    if name.startswith("alpha"):
        alpha = (torch.rand(height, width, 1, generator=gen) * 255).to(torch.uint8)
        return Image.fromarray(torch.cat([rgb, alpha], 2).numpy(), "RGBA")
    return Image.fromarray(rgb.numpy(), "RGB")


def make_folder(path):
    source = common.FIXTURES / "tokenizer" / "byte_old"
    for name in ("vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"):
        shutil.copy(source / name, path / name)
    tokenizer = CLIPTokenizer.from_pretrained(path)
    text = dict(vocab_size=len(tokenizer), hidden_size=16, intermediate_size=20, num_hidden_layers=2, num_attention_heads=4,
                max_position_embeddings=POSITIONS, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.pad_token_id)
    vision = dict(hidden_size=12, intermediate_size=18, num_hidden_layers=2, num_attention_heads=3, image_size=SIDE, patch_size=5)
    config = CLIPConfig(text_config={**text, "projection_dim": 14}, vision_config={**vision, "projection_dim": 14},
                        projection_dim=14, logit_scale_init_value=2.6592)
    model = common.build(lambda: CLIPModel(config), 3100, std=0.3)
    model.save_pretrained(path)
    processor = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    processor.save_pretrained(path)
    return tokenizer, processor, model


def main():
    path = common.folder("clip_score")
    tokenizer, processor, model = make_folder(path)
    (path / "pictures").mkdir()
    rows = []
    for i, (name, caption) in enumerate(CAPTIONS.items()):
        picture(name, 3110 + i).save(path / "pictures" / name)
        (path / "pictures" / name).with_suffix(".txt").write_text(caption + "\n")
        # Alpha is dropped, as OpenAI's code and transformers 4 do; transformers 5.23 would put white behind it.
        rgb = Image.open(path / "pictures" / name).convert("RGB")
        pixels = processor(rgb, return_tensors="pt")["pixel_values"]
        ids = tokenizer(caption, return_tensors="pt", padding="max_length", max_length=POSITIONS, truncation=True)["input_ids"]
        with torch.no_grad():
            both = model(input_ids=ids, pixel_values=pixels)
        cosine = (both.logits_per_image / model.logit_scale.exp()).item()
        rows.append({"file": name, "caption": caption, "cosine": cosine, "pixels": pixels[0, :, 3, 7].tolist(),
                     "pixel_sum": pixels.double().sum().item()})
        print(f"  {name}: {cosine:.6f}")
    (path / "expected.json").write_text(json.dumps({"logit_scale": model.logit_scale.item(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
