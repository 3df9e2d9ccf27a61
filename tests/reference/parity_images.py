"""Picture tools of score_parity.py: pytorch-fid, clean-fid, torchmetrics, clip-score, CMMD, vendi-score, LAION's aesthetic heads."""

import io
import json
import pathlib

import numpy as np
import torch
from PIL import Image

CPU = torch.device("cpu")


def files(folder):
    return sorted(folder.iterdir())


def rgb(path):
    return Image.open(path).convert("RGB")


def tensor(path):
    return torch.from_numpy(np.array(rgb(path))).permute(2, 0, 1)


def pytorch_fid(t, work):
    import pytorch_fid.fid_score as fid
    import pytorch_fid.inception
    weights = work / "weights" / "inception.pth"
    pytorch_fid.inception.load_state_dict_from_url = lambda *a, **k: torch.load(weights)
    a, b = work / "pictures" / "a", work / "pictures" / "b"
    for dims in (64, 2048):
        spec = f"inception:{weights}" + (f",dims={dims}" if dims != 2048 else "")
        theirs = fid.calculate_fid_given_paths([str(a), str(b)], 1, CPU, dims, num_workers=0)
        t.same(f"fid, {dims} dims", "pytorch-fid 0.3.0", theirs, t.score("fid", a, b, "--encoder", spec))
    stats = work / "theirs.npz"
    stats.unlink(missing_ok=True)
    fid.save_fid_stats([str(a), str(stats)], 1, CPU, 64, num_workers=0)
    t.same("fid, 64 dims, its .npz", "pytorch-fid 0.3.0", fid.calculate_fid_given_paths([str(stats), str(b)], 1, CPU, 64, num_workers=0),
           t.score("fid", stats, b, "--encoder", f"inception:{weights},dims=64"))
    t.run("stats", a, "--encoder", f"inception:{weights},dims=64", "-o", work / "ours.npz", "--no-cache")
    theirs = fid.calculate_fid_given_paths([str(work / "ours.npz"), str(b)], 1, CPU, 64, num_workers=0)
    t.same("fid, 64 dims, our .npz there", "pytorch-fid 0.3.0", theirs, t.score("fid", work / "ours.npz", b, "--encoder", f"inception:{weights},dims=64"))


def clean_fid(t, work):
    import clip
    import cleanfid.features
    import cleanfid.inception_pytorch
    from cleanfid import fid
    weights = work / "weights"
    a, b = str(work / "pictures" / "a"), str(work / "pictures" / "b")
    script = cleanfid.features.InceptionV3W
    cleanfid.features.InceptionV3W = lambda path, download, resize_inside: script(str(weights), download=False, resize_inside=resize_inside)
    cleanfid.inception_pytorch.load_state_dict_from_url = lambda *a, **k: torch.load(weights / "inception.pth")
    options = dict(num_workers=0, batch_size=8, device=CPU, verbose=False, use_dataparallel=False)
    spec = f"inception:{weights / 'inception.pth'}"
    t.same("fid, clean", "clean-fid 0.1.35", fid.compute_fid(a, b, mode="clean", **options),
           t.score("fid", a, b, "--encoder", spec, "--flavour", "clean"))
    t.same("fid, legacy_pytorch", "clean-fid 0.1.35", fid.compute_fid(a, b, mode="legacy_pytorch", **options),
           t.score("fid", a, b, "--encoder", spec))
    np.random.seed(1)
    t.same("kid, sets of one size", "clean-fid 0.1.35", fid.compute_kid(a, b, mode="clean", **options),
           t.score("kid", a, b, "--encoder", spec, "--flavour", "clean-fid"), "each of its subsets is the whole set")
    less = work / "less.txt"
    less.write_text("\n".join(str(p) for p in files(work / "pictures" / "b")[:40]) + "\n")
    model = fid.build_feature_extractor("clean", CPU, use_dataparallel=False)
    x, y = (fid.get_folder_features(p, model, mode="clean", **{k: v for k, v in options.items() if k != "use_dataparallel"}) for p in (a, b))
    draws = [fid.kernel_distance(x, y[:40]) for _ in range(20)]
    t.within("kid, 70 against 40", "clean-fid 0.1.35", draws, t.score("kid", a, less, "--encoder", spec, "--flavour", "clean-fid"))
    t.within("kid, 70 against 40, all pairs", "clean-fid 0.1.35", draws, t.score("kid", a, less, "--encoder", f"{spec},resize=clean"))
    load, clip.load = clip.load, lambda name, device: load(str(weights / "clip.pt"), device=device)
    theirs = fid.compute_fid(a, b, mode="clean", model_name="clip_vit_b_32", **options)
    clip.load = load
    t.same("fid in CLIP's space", "clean-fid 0.1.35", theirs,
           t.score("fid", a, b, "--encoder", weights / "clip", "--flavour", "clean"))


def torchmetrics_sets(t, work):
    from torchmetrics.image.fid import FrechetInceptionDistance, NoTrainInceptionV3
    from torchmetrics.image.kid import KernelInceptionDistance
    weights = work / "weights" / "inception.pth"
    a, b = files(work / "pictures" / "a"), files(work / "pictures" / "b")
    spec = f"inception:{weights}"

    def through(metric):
        for paths, real in ((a, True), (b, False)):
            for path in paths:
                metric.update(tensor(path)[None], real=real)
        return metric.compute()
    net = NoTrainInceptionV3("inception-v3-compat", ["64"], str(weights))
    theirs = through(FrechetInceptionDistance(64, feature_extractor_weights_path=str(weights))).item()
    t.same("fid, 64 dims", "torchmetrics 1.9.0", theirs,
           t.score("fid", work / "pictures" / "a", work / "pictures" / "b", "--encoder", f"{spec},dims=64", "--flavour", "torchmetrics"))
    theirs = through(FrechetInceptionDistance(64, feature_extractor_weights_path=str(weights), antialias=False)).item()
    t.same("fid, 64 dims, antialias=False", "torchmetrics 1.9.0", theirs,
           t.score("fid", work / "pictures" / "a", work / "pictures" / "b", "--encoder", f"{spec},dims=64,resize=tf"))
    net = NoTrainInceptionV3("inception-v3-compat", ["2048"], str(weights))
    with torch.no_grad():
        x, y = (torch.cat([net(tensor(p)[None]) for p in paths]) for paths in (a, b))
    for size, count in ((len(a), 1), (50, 40)):
        draws = []
        for seed in range(1 if size == len(a) else 12):
            torch.manual_seed(seed)
            metric = KernelInceptionDistance(feature=torch.nn.Identity(), subsets=count, subset_size=size)
            metric.update(x, real=True)
            metric.update(y, real=False)
            draws.append(metric.compute()[0].item())
        ours = t.score("kid", work / "pictures" / "a", work / "pictures" / "b", "--encoder", f"{spec},resize=torchmetrics")
        if len(draws) == 1:
            t.same("kid, subset_size the set's", "torchmetrics 1.9.0", draws[0], ours)
        else:
            t.within("kid, 40 subsets of 50", "torchmetrics 1.9.0", draws, ours)


def captions(work):
    return [p.read_text() for p in files(work / "captions")]


def prompts_file(work):
    path = work / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": c}) + "\n" for c in captions(work)))
    return path


def torchmetrics_clip(t, work):
    from torchmetrics.multimodal import CLIPScore
    from transformers import CLIPModel, CLIPProcessor
    folder = str(work / "weights" / "clip")
    metric = CLIPScore(lambda: (CLIPModel.from_pretrained(folder), CLIPProcessor.from_pretrained(folder)))
    a, b = work / "pictures" / "a", work / "pictures" / "b"
    with torch.no_grad():
        for path, text in zip(files(b), captions(work)):
            metric.update(tensor(path), text)
        t.same("clip, text", "torchmetrics 1.9.0", metric.compute().item(),
               t.score("clip", b, "--encoder", folder, "--flavour", "torchmetrics", "--prompts", prompts_file(work)))
        metric.reset()
        for one, other in zip(files(a), files(b)):
            metric.update(tensor(one), tensor(other))
        t.same("clip, pictures", "torchmetrics 1.9.0", metric.compute().item(),
               t.score("clip", a, b, "--encoder", folder, "--flavour", "torchmetrics"))


def clip_score(t, work):
    import clip
    from clip_score.clip_score import DummyDataset, calculate_clip_score
    folder = work / "weights" / "clip"
    model, preprocess = clip.load(str(work / "weights" / "clip.pt"), device="cpu")

    def theirs(real, fake, kind):
        data = DummyDataset(str(real), str(fake), "img", kind, transform=preprocess, tokenizer=clip.tokenize)
        loader = torch.utils.data.DataLoader(data, 8, num_workers=0)
        return calculate_clip_score(loader, model, "img", kind).item()
    a, b = work / "pictures" / "a", work / "pictures" / "b"
    t.same("clip, text", "clip-score 0.1.1", theirs(b, work / "captions", "txt"),
           t.score("clip", b, "--encoder", folder, "--flavour", "clip-score", "--prompts", prompts_file(work)))
    t.same("clip, pictures", "clip-score 0.1.1", theirs(a, b, "img"),
           t.score("clip", a, b, "--encoder", folder, "--flavour", "clip-score"))
    t.stated("clip, pictures, transformers' crop", "clip-score 0.1.1", theirs(a, b, "img"),
             t.score("clip", a, b, "--encoder", folder, "--flavour", "logit"), "the centre of one picture in four lies a pixel apart")
    x, y = work / "alpha" / "a", work / "alpha" / "b"
    t.stated("clip, alpha and palette", "clip-score 0.1.1", theirs(x, y, "img"),
             t.score("clip", x, y, "--encoder", folder, "--flavour", "clip-score"),
             "OpenAI's code resizes before it drops alpha, and palettes without mixing")


def cmmd_and_vendi(t, work):
    """CMMD has no package: its definition, in float32 as its code has it. vendi-score is run on transformers' embeddings."""
    from transformers import CLIPImageProcessor, CLIPModel
    from vendi_score import vendi
    folder = work / "weights" / "clip"
    model, processor = CLIPModel.from_pretrained(folder).eval(), CLIPImageProcessor.from_pretrained(folder)

    def embed(path):
        with torch.no_grad():
            rows = [model.get_image_features(**processor(rgb(p), return_tensors="pt"))[0] for p in files(path)]
        rows = torch.stack(rows)
        return (rows / rows.norm(dim=1, keepdim=True)).numpy()
    a, b = work / "pictures" / "a", work / "pictures" / "b"
    x, y = embed(a), embed(b)

    def kernel(p, q):
        square = lambda r: (r * r).sum(1)
        return np.exp(-1 / (2 * 10 ** 2) * (square(p)[:, None] + square(q)[None] - 2 * p @ q.T)).mean()
    theirs = 1000 * (kernel(x, x) + kernel(y, y) - 2 * kernel(x, y))
    exact = 1000 * (kernel(*[x.astype(np.float64)] * 2) + kernel(*[y.astype(np.float64)] * 2)
                    - 2 * kernel(x.astype(np.float64), y.astype(np.float64)))
    ours = t.score("cmmd", a, b, "--encoder", folder)
    t.same("cmmd, in float64", "definition", exact, ours)
    t.stated("cmmd, in float32", "definition", float(theirs), ours, "float32 means near 1 are taken from one another")
    for q in (1, 2, 0.5):
        theirs = vendi.score_K(x.astype(np.float64) @ x.T.astype(np.float64), q=q)
        t.same(f"vendi, order {q}", "vendi-score 0.0.3", theirs, t.score("vendi", a, "--encoder", folder, "--order", q))
    t.same("vendi, order inf", "vendi-score 0.0.3", vendi.score_K(x.astype(np.float64) @ x.T.astype(np.float64), q="inf"),
           t.score("vendi", a, "--encoder", folder, "--order", "inf"))
    t.same("vendi, score_dual", "vendi-score 0.0.3", vendi.score_dual(x), t.score("vendi", a, "--encoder", folder), "in float32")
    aesthetic(t, work, x)


def aesthetic(t, work, embeddings):
    """LAION's linear head and the MLP of improved-aesthetic-predictor, on a folder's unit embeddings."""
    from torch import nn
    gen = torch.Generator().manual_seed(106)
    dim = embeddings.shape[1]
    for name, head in (("linear", nn.Linear(dim, 1)),
                       ("MLP", nn.Sequential(*[m for i, (p, q) in enumerate(((dim, 1024), (1024, 128), (128, 64), (64, 16), (16, 1)))
                                               for m in ((nn.Linear(p, q), nn.Dropout(0.1)) if i < 3 else (nn.Linear(p, q),))]))):
        with torch.no_grad():
            for p in head.parameters():
                p.add_(torch.randn(p.shape, generator=gen) * 0.05)
        state = head.state_dict()
        path = work / "weights" / f"aesthetic_{name}.pth"
        torch.save(state if name == "linear" else {f"layers.{k}": v for k, v in state.items()}, path)
        with torch.no_grad():
            theirs = head.eval()(torch.from_numpy(embeddings)).mean().item()
        t.same(f"aesthetic, {name}", "LAION's heads in PyTorch", theirs,
               t.score(f"aesthetic:{path}", work / "pictures" / "a", "--encoder", work / "weights" / "clip"))


def jpeg(t, work):
    """DDPO's compressibility: minus kilobytes of Pillow's JPEG at quality 95."""
    sizes = []
    for path in files(work / "pictures" / "a"):
        out = io.BytesIO()
        rgb(path).save(out, "JPEG", quality=95)
        sizes.append(len(out.getvalue()) / 1000)
    t.same("jpeg", "Pillow 13.0.0", -float(np.mean(sizes)), t.score("jpeg", work / "pictures" / "a"))


TOOLS = {"pytorch-fid": pytorch_fid, "clean-fid": clean_fid, "torchmetrics-sets": torchmetrics_sets,
         "torchmetrics-clip": torchmetrics_clip, "clip-score": clip_score, "cmmd-vendi": cmmd_and_vendi, "jpeg": jpeg}
