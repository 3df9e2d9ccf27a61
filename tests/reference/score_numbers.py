"""score/expected.json: what the tools say of a few files, for tests/run/test_score_tools.c, which makes the same files.

Runs in the audio environment, like score_parity.py, which does the same at full size. Networks are those of fad_nets and
clip_score, the tools' own front ends and statistics before and behind them.
"""

import json
import os
import pathlib
import sys
import tempfile

os.environ["HF_HUB_OFFLINE"] = "1"
HERE = pathlib.Path(__file__).resolve().parent
sys.path.append(sys.path.pop(0))

import score_parity

score_parity.quieten()

import cleanfid.clip_features
import cleanfid.fid
import cleanfid.resize
import fadtk.fad
import kadtk.kad
import numpy as np
import pyloudnorm
import pytorch_fid.fid_score
import soundfile
import torch
from PIL import Image
from safetensors.torch import load_file
from torchmetrics.image.kid import poly_mmd
from torchvggish.vggish_input import waveform_to_examples
from transformers import CLIPModel
from vendi_score import vendi

import fad_nets
from frechet_audio_distance.utils import load_audio_task

NETS = HERE.parent / "fixtures" / "fad_nets"
SIZES = [(60 + 13 * i % 60, 50 + 29 * i % 60) for i in range(20)]


def load(net, name):
    state = {k: v.float() if v.is_floating_point() else v for k, v in load_file(NETS / f"{name}.safetensors").items()}
    net.load_state_dict({k: v for k, v in state.items() if k in net.state_dict()})
    return net.eval(), state


def make_files(folder):
    """Pictures a, b, more of them than dimensions of Inception's second block, or the tools' roots get lost; sounds of more than two seconds and an odd rate: the formulas of tests/encoders/support_synth.c."""
    for side, seed in (("a", 1), ("b", 40)):
        (folder / side).mkdir()
        (folder / f"sound_{side}").mkdir()
        for i, (w, h) in enumerate(SIZES):
            Image.fromarray(fad_nets.picture(w, h, seed + i)).save(folder / side / f"{i:02}.png")
        for i in range(6):
            rate = 22050 if i % 2 else 16000
            x = fad_nets.sound(rate * (5 + i) // 2, 1 + i % 2, 3 * i + seed)
            soundfile.write(folder / f"sound_{side}" / f"{i:02}.wav", x, rate, subtype="PCM_16")


def files(folder):
    return sorted(p for p in folder.iterdir() if p.is_file())


def pixels(path):
    return np.array(Image.open(path).convert("RGB"))


def smooth(px):
    x = torch.from_numpy(px).permute(2, 0, 1)[None].float()
    x = torch.nn.functional.interpolate(x, size=(299, 299), mode="bilinear", align_corners=False, antialias=True)
    return (x - 128) / 128


def clean(px):
    x = cleanfid.resize.build_resizer("clean")(px)
    return (torch.from_numpy(x).permute(2, 0, 1)[None] - 128) / 128


def stats(x):
    return np.mean(x, axis=0), np.cov(x, rowvar=False)


def images(folder, out):
    net, _ = load(fad_nets.Inception(16), "inception")
    sets = {}
    with torch.no_grad():
        for how, resize in (("fid", fad_nets.resize_fid), ("clean", clean), ("torchmetrics", smooth)):
            sets[how] = [torch.cat([net(resize(pixels(p)).contiguous())[1] for p in files(folder / s)]).numpy() for s in "ab"]
            sets[how] = [x.reshape(len(x), -1) for x in sets[how]]
    (x, y), (cx, cy), (tx, ty) = sets["fid"], sets["clean"], sets["torchmetrics"]
    out["fid"] = pytorch_fid.fid_score.calculate_frechet_distance(*stats(x), *stats(y))
    out["fid clean"] = cleanfid.fid.fid_from_feats(cx, cy)
    out["fid torchmetrics"] = pytorch_fid.fid_score.calculate_frechet_distance(*stats(tx), *stats(ty))
    out["kid clean-fid"] = cleanfid.fid.kernel_distance(cx.astype(np.float64), cy.astype(np.float64), num_subsets=1)
    out["kid torchmetrics"] = poly_mmd(torch.from_numpy(tx).double(), torch.from_numpy(ty).double()).item()
    model = CLIPModel.from_pretrained(HERE.parent / "fixtures" / "clip_score").eval()
    side = model.config.vision_config.image_size
    import torchvision.transforms as T
    shape = T.Compose([T.Resize(side, T.InterpolationMode.BICUBIC), T.CenterCrop(side), T.ToTensor(),
                       T.Normalize((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))])
    with torch.no_grad():
        a, b = (torch.stack([model.get_image_features(shape(Image.open(p))[None])[0] for p in files(folder / s)]) for s in "ab")
    out["clip fid clean"] = cleanfid.fid.fid_from_feats(a.numpy(), b.numpy())
    out["clip clip-score"] = (model.logit_scale.exp() * torch.cosine_similarity(a, b).mean()).item()
    out["clip vendi"] = vendi.score_X(a.double().numpy())
    out["jpeg"] = -float(np.mean([jpeg_size(p) for p in files(folder / "a")]))


def jpeg_size(path):
    import io
    out = io.BytesIO()
    Image.open(path).save(out, "JPEG", quality=95)
    return len(out.getvalue()) / 1000


class Loader(fadtk.model_loader.ModelLoader):
    """fadtk's and kadtk's loader of a small VGGish."""

    def __init__(self, net):
        super().__init__("vggish", 8, 16000)
        self.model = net

    def load_model(self):
        pass

    def _get_embedding(self, audio):
        with torch.no_grad():
            return self.model(waveform_to_examples(audio, self.sr))


def sounds(folder, out):
    import csv
    net, _ = load(fad_nets.Vggish(16, 64), "vggish")
    tool = fadtk.fad.FrechetAudioDistance(Loader(net))
    a, b = folder / "sound_a", folder / "sound_b"
    for side in (a, b):
        for path in files(side):
            tool.cache_embedding_file(path)
    out["fad fadtk"] = tool.score(a, b)
    tool.score_individual(a, b, folder / "theirs.csv")
    with open(folder / "theirs.csv") as f:
        out["fad fadtk indiv"] = [v for _, v in sorted((pathlib.Path(r[0]).name, float(r[1])) for r in csv.reader(f))]
    x, y = (torch.tensor(tool.load_embeddings(s)) for s in (a, b))
    out["kad kadtk"] = kadtk.kad.calc_kernel_audio_distance(x, y, (None, None), "cpu", precision=torch.float64).item()
    with torch.no_grad():
        x, y = (np.concatenate([net(waveform_to_examples(load_audio_task(str(p), 16000, 1), 16000)).numpy() for p in files(s)])
                for s in (a, b))
    out["fad gudgud96"] = pytorch_fid.fid_score.calculate_frechet_distance(*stats(x), *stats(y))
    out["loudness"] = float(np.mean([pyloudnorm.Meter(rate, filter_class="DeMan").integrated_loudness(x)
                                     for x, rate in map(soundfile.read, files(a))]))


def main():
    out = {}
    with tempfile.TemporaryDirectory() as folder:
        make_files(pathlib.Path(folder))
        images(pathlib.Path(folder), out)
        sounds(pathlib.Path(folder), out)
    path = HERE.parent / "fixtures" / "score"
    path.mkdir(exist_ok=True)
    (path / "expected.json").write_text(json.dumps(out, indent=1) + "\n")
    print(json.dumps(out, indent=1))


if __name__ == "__main__":
    main()
