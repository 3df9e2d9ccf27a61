"""Rewards over the pictures of clip_score: heads over CLIP embeddings, JPEG sizes, distances of mean colours.

The heads are LAION's two layouts with random weights, narrow: one Linear (aesthetic-predictor), and the layers of the
improved aesthetic predictor with its dropouts between them, so that the numbers in the names are its own. They run over
the L2-normalised embedding. JPEG sizes are Pillow's at quality 95, colours are numpy's in double.
"""

import io
import json
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import CLIPModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

import common

WIDTH = 14
TARGETS = ("#ff0000", "#1e90ff", "#000000")
CONES = np.array([[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]])
AXES = np.array([[0.2104542553, 0.7936177850, -0.0040720468], [1.9779984951, -2.4285922050, 0.4505937099], [0.0259040371, 0.7827717662, -0.8086757660]])


class Improved(torch.nn.Module):
    def __init__(self):
        super().__init__()
        widths, drops = (WIDTH, 24, 10, 6, 4), (0.2, 0.2, 0.1)
        layers = []
        for i in range(4):
            layers.append(torch.nn.Linear(widths[i], widths[i + 1]))
            layers += [torch.nn.Dropout(drops[i])] if i < 3 else []
        self.layers = torch.nn.Sequential(*layers, torch.nn.Linear(widths[-1], 1))

    def forward(self, x):
        return self.layers(x)


def linear(rgb):
    x = rgb.astype(np.float64) / 255
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def oklab(light):
    return AXES @ np.cbrt(CONES @ light)


def main():
    source, path = common.FIXTURES / "clip_score", common.folder("rewards")
    model = CLIPModel.from_pretrained(source).eval()
    processor = CLIPImageProcessorPil.from_pretrained(source)
    heads = {"linear": common.build(lambda: torch.nn.Linear(WIDTH, 1), 3200, std=1.0),
             "mlp": common.build(Improved, 3201, std=0.5).eval()}
    for name, head in heads.items():
        save_file(head.state_dict(), path / f"{name}.safetensors")
    torch.save(heads["mlp"].state_dict(), path / "mlp.pth")
    assert sorted(k for k in heads["mlp"].state_dict() if k.endswith("weight")) == [f"layers.{i}.weight" for i in (0, 2, 4, 6, 7)]
    rows = []
    for row in json.loads((source / "expected.json").read_text())["rows"]:
        rgb = Image.open(source / "pictures" / row["file"]).convert("RGB")
        with torch.no_grad():
            embeds = model.visual_projection(model.vision_model(**processor(rgb, return_tensors="pt")).pooler_output)
            embeds = embeds / embeds.norm(dim=-1, keepdim=True)
            scores = {name: head(embeds).item() for name, head in heads.items()}
        file = io.BytesIO()
        rgb.save(file, format="JPEG", quality=95)
        mean = oklab(linear(np.asarray(rgb)).reshape(-1, 3).mean(0))
        target = [oklab(linear(np.array([int(t[k : k + 2], 16) for k in (1, 3, 5)]))) for t in TARGETS]
        rows.append({"file": row["file"], **scores, "jpeg": file.tell(), "colour": [np.linalg.norm(mean - t) for t in target]})
        print(f"  {row['file']}: {scores}, {file.tell()} bytes")
    (path / "expected.json").write_text(json.dumps({"targets": TARGETS, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
