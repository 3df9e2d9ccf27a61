"""Sound tools of score_parity.py: fadtk, kadtk, frechet-audio-distance, CLAP through transformers, pyloudnorm."""

import csv
import json
import pathlib
import shutil

import numpy as np
import soundfile
import torch


class VGGish(torch.nn.Module):
    """The model that torch.hub's harritaylor/torchvggish gives: torchvggish's net, which takes samples as well."""

    def __init__(self, weights):
        super().__init__()
        from torchvggish.torchvggish import _vgg
        net = _vgg(postprocess=False)
        net.load_state_dict(torch.load(weights))
        self.features, self.embeddings, self.postprocess = net.features, net.embeddings, False

    def forward(self, samples, rate):
        from torchvggish.torchvggish import VGG
        from torchvggish.vggish_input import waveform_to_examples
        return VGG.forward(self, waveform_to_examples(samples, rate))


def patch(work):
    weights = work / "weights"
    torch.hub.load = lambda *a, **k: VGGish(weights / "vggish.pth").eval()
    import parity_clap
    parity_clap.make(work)
    parity_clap.patch()


def fresh(work, name, source):
    """A copy of a folder of sounds, since the tools write beside them."""
    out = work / "copies" / name
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(source, out)
    return out


def files(folder):
    return sorted(p for p in folder.iterdir() if p.is_file())


def checkpoints(module, work):
    """The tool's folder of checkpoints, outside its package."""
    class Home(type(pathlib.Path())):
        def __truediv__(self, other):
            return pathlib.Path(work) / "weights" if other == ".model-checkpoints" else super().__truediv__(other)

        @property
        def parent(self):
            return self
    module.Path = lambda p="": Home(p) if str(p) == module.__file__ else pathlib.Path(p)


def fadtk(t, work):
    patch(work)
    import fadtk.fad
    import fadtk.model_loader as loaders
    checkpoints(loaders, work)
    a, b = (fresh(work, f"fadtk_{s}", work / "sounds" / s) for s in "ab")
    for name, loader, spec in (("vggish", loaders.VGGishModel, f"vggish:{work / 'weights' / 'vggish.pth'}"),
                               ("clap-laion-audio", lambda: loaders.CLAPLaionModel("audio"), f"clap:{work / 'weights' / 'clap'}")):
        if name != "vggish":
            a, b = (few(work, f"fadtk_few_{s}", work / "sounds" / s) for s in "ab")
        tool = fadtk.fad.FrechetAudioDistance(loader())
        for folder in (a, b):
            for path in files(folder):
                tool.cache_embedding_file(path)
        sources = [listed(work, f, work / "sounds" / s) for f, s in ((a, "a"), (b, "b"))]
        theirs = tool.score(a, b)
        t.same(f"fad, {name}", "fadtk 1.0.1", theirs, t.score("fad", *sources, "--encoder", spec, "--flavour", "fadtk"))
        individual(t, work, tool, name, spec, a, b, sources)
        if name == "vggish":
            fadtk_inf(t, work, tool, spec, a, sources[0])


def few(work, name, source):
    out = work / "copies" / name
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir(parents=True)
    for path in [p for p in files(source) if soundfile.info(p).duration < 6][:6]:
        shutil.copy(path, out)
    return out


def listed(work, copy, source):
    """A list file of the originals, where the copy is a part of them."""
    path = work / f"{copy.name}.txt"
    path.write_text("".join(f"{source / p.name}\n" for p in files(copy)))
    return path


def individual(t, work, tool, name, spec, a, b, sources):
    theirs, ours = work / "theirs.csv", work / "ours.csv"
    for path in (theirs, ours):
        path.unlink(missing_ok=True)
    tool.score_individual(a, b, theirs)
    t.score("fad", *sources, "--encoder", spec, "--flavour", "fadtk", "--indiv", ours)
    with open(theirs) as f:
        mine = {pathlib.Path(row[0]).name: float(row[1]) for row in csv.reader(f)}
    with open(ours) as f:
        yours = {pathlib.Path(row["file"]).name: float(row["value"]) for row in csv.DictReader(f) if row["value"]}
    worst = max(mine, key=lambda k: abs(mine[k] - yours[k]) / abs(mine[k]))
    t.same(f"fad --indiv, {name}, worst of {len(mine)}", "fadtk 1.0.1", mine[worst], yours[worst],
           "a file's few rows in float16: one that falls to the other side counts", 1e-3)


def fadtk_inf(t, work, tool, spec, a, source):
    long = fresh(work, "fadtk_long", work / "long" / "b")
    for path in files(long):
        tool.cache_embedding_file(path)
    draws = []
    for seed in range(12):
        np.random.seed(seed)
        draws.append(float(tool.score_inf(a, files(long)).score))
    t.within("fad --inf, vggish", "fadtk 1.0.1", draws,
             t.score("fad", source, work / "long" / "b", "--encoder", spec, "--flavour", "fadtk", "--inf"), "both draw with replacement")


def kadtk(t, work):
    patch(work)
    import logging
    import kadtk.emb_loader
    import kadtk.kad
    import kadtk.model_loader as loaders
    checkpoints(loaders, work)
    weights = work / "weights"
    shutil.copy(weights / "Cnn14_mAP%3D0.431.pth", weights / "Cnn14_mAP=0.431.pth")
    shutil.copy(weights / "Cnn14_16k_mAP%3D0.438.pth", weights / "Cnn14_16k_mAP=0.438.pth")
    for name, loader, spec, part in (
            ("vggish", loaders.VGGishModel, f"vggish:{weights / 'vggish.pth'}", "sounds"),
            ("panns-cnn14-32k", lambda: loaders.PANNsModel("cnn14-32k"), f"panns:{weights / 'Cnn14_mAP=0.431.pth'}", "one-size"),
            ("panns-cnn14-16k", lambda: loaders.PANNsModel("cnn14-16k"), f"panns:{weights / 'Cnn14_16k_mAP=0.438.pth'}", "one-size"),
            ("clap-laion-audio", lambda: loaders.CLAPLaionModel("audio"), f"clap:{weights / 'clap'}", "few")):
        a, b = (few(work, f"kadtk_few_{s}", work / "sounds" / s) if part == "few" else fresh(work, f"kadtk_{name}_{s}", work / part / s)
                for s in "ab")
        ours = [listed(work, f, work / ("sounds" if part == "few" else part) / s) for f, s in ((a, "a"), (b, "b"))]
        model = loader()
        tool = kadtk.emb_loader.EmbeddingLoader(model)
        for folder in (a, b):
            for path in files(folder):
                tool.cache_embedding_file(path)
        kad = kadtk.kad.KernelAudioDistance(model, "cpu", logger=logging.getLogger("kadtk"))
        value = t.score("kad", *ours, "--encoder", spec, "--flavour", "kadtk")
        x, y = (torch.tensor(kad.emb_loader.load_embeddings(f)) for f in (a, b))
        exact = kadtk.kad.calc_kernel_audio_distance(x, y, (None, None), "cpu", precision=torch.float64).item()
        if name.startswith("panns"):
            converted = [f / "convert" / str(model.sr) for f in (a, b)]
            t.stated(f"kad, {name}", "kadtk 1.1.0, precision=float64", exact, value, "silence, resampled in float32 and cut to 16 bits")
            value = t.score("kad", *converted, "--encoder", spec, "--flavour", "kadtk")
        t.same(f"kad, {name}" + (", its converted files" if name.startswith("panns") else ""), "kadtk 1.1.0, precision=float64", exact, value,
               "near 0: rows' last bits in float16 count" if exact < 0.2 else "", 1e-3 if exact < 0.2 else 1e-4)
        t.stated(f"kad, {name}", "kadtk 1.1.0, its float32", kad.score(a, b).item(), value, "squared distances by cancellation")


def gudgud96(t, work):
    patch(work)
    from frechet_audio_distance import FrechetAudioDistance
    weights = work / "weights"
    a, b = work / "sounds" / "a", work / "sounds" / "b"
    tool = FrechetAudioDistance(ckpt_dir=str(weights), model_name="vggish", sample_rate=16000, audio_load_worker=1)
    t.same("fad, vggish", "frechet-audio-distance 0.3.4", tool.score(str(a), str(b)),
           t.score("fad", a, b, "--encoder", f"vggish:{weights / 'vggish.pth'}", "--flavour", "gudgud96"))
    a, b = work / "one-size" / "a", work / "one-size" / "b"
    for rate, name in ((32000, "Cnn14_mAP%3D0.431.pth"), (16000, "Cnn14_16k_mAP%3D0.438.pth")):
        tool = FrechetAudioDistance(ckpt_dir=str(weights), model_name="pann", sample_rate=rate, audio_load_worker=1)
        rows = [tool.get_embeddings(tool._FrechetAudioDistance__load_audio_files(str(f)), sr=rate) for f in (a, b)]
        theirs = tool.score(str(a), str(b))
        if theirs == -1:  # scipy 1.17's matrix root of 1x1 matrices gives one value less
            (m, v), (n, w) = (tool.calculate_embd_statistics(x) for x in rows)
            theirs = float((m - n) ** 2 + v + w - 2 * (v * w) ** 0.5)
        flat = []
        for folder in (a, b):
            t.run("embed", folder, "--encoder", f"panns:{weights / name},compat=gudgud96", "-o", work / "rows.npy", "--no-cache")
            path = work / f"flat_{folder.name}.npy"
            np.save(path, np.load(work / "rows.npy").reshape(-1, 1))
            flat.append(path)
        t.stated(f"fad, panns {rate}, all numbers as one", "frechet-audio-distance 0.3.4", theirs, t.score("fad", *flat),
                 "the tool joins its rows into one, a small difference of large variances; tiller embed, reshaped")
        rows = [x.reshape(len(files(f)), -1) for x, f in zip(rows, (a, b))]
        exact = tool.calculate_frechet_distance(*tool.calculate_embd_statistics(rows[0]), *tool.calculate_embd_statistics(rows[1]))
        t.same(f"fad, panns {rate}, its rows", "frechet-audio-distance 0.3.4", exact,
               t.score("fad", a, b, "--encoder", f"panns:{weights / name}", "--flavour", "gudgud96"), "its rows as they were meant")
    few_a, few_b = (few(work, f"gudgud_{s}", work / "sounds" / s) for s in "ab")
    tool = FrechetAudioDistance(ckpt_dir=str(weights), model_name="clap", sample_rate=48000, submodel_name="630k-audioset", audio_load_worker=1)
    t.same("fad, clap", "frechet-audio-distance 0.3.4", tool.score(str(few_a), str(few_b)),
           t.score("fad", few_a, few_b, "--encoder", f"clap:{weights / 'clap'}", "--flavour", "gudgud96"), "sounds of at most ten seconds")


def clap(t, work):
    """CLAP score: transformers' ClapModel, sounds at 48 kHz by soxr, as tiller's default."""
    patch(work)
    import soxr
    from transformers import ClapModel, ClapProcessor
    folder = work / "weights" / "clap"
    model, processor = ClapModel.from_pretrained(folder).eval(), ClapProcessor.from_pretrained(folder)
    sounds = few(work, "clap", work / "sounds" / "b")
    texts = ["drums and bass", "a person is speaking digits", "an ambient, slow Drone", "the sound of thunder", "hi-hat", "one two three"]
    scale = model.logit_scale_a.exp().item()

    def mean(**padding):
        cosines = []
        for path, text in zip(files(sounds), texts):
            x, rate = soundfile.read(path, always_2d=True, dtype="float32")
            x = x.mean(axis=1)
            x = x if rate == 48000 else soxr.resample(x, rate, 48000, "VHQ")
            with torch.no_grad():
                out = model(**processor(text=[text], audios=[x], sampling_rate=48000, return_tensors="pt", **padding))
            cosines.append((out.audio_embeds @ out.text_embeds.T).item())
        return float(np.mean(cosines))
    prompts = work / "sounds.jsonl"
    prompts.write_text("".join(json.dumps({"prompt": x}) + "\n" for x in texts))
    for flavour, factor in (("cosine", 1), ("logit", scale)):
        ours = t.score("clap", sounds, "--encoder", folder, "--flavour", flavour, "--prompts", prompts)
        t.same(f"clap, {flavour}", "transformers 4.46.3", factor * mean(), ours)
    t.stated("clap, processor(padding=True)", "transformers 4.46.3", scale * mean(padding=True), ours,
             "meant for the text, it also replaces the sounds' repeatpad by zeros")


def loudness(t, work):
    """The standard's filters, which pyloudnorm has under the name DeMan; its default is 0.045 LU lower."""
    import pyloudnorm
    values = {}
    for name in ("DeMan", "K-weighting"):
        values[name] = []
        for path in files(work / "sounds" / "b"):
            x, rate = soundfile.read(path)
            values[name].append(pyloudnorm.Meter(rate, filter_class=name).integrated_loudness(x))
    ours = t.score("loudness", work / "sounds" / "b")
    t.same("loudness", "pyloudnorm, DeMan", float(np.mean(values["DeMan"])), ours)
    t.stated("loudness", "pyloudnorm, its default", float(np.mean(values["K-weighting"])), ours, "other filters than the standard's")


TOOLS = {"fadtk": fadtk, "kadtk": kadtk, "gudgud96": gudgud96, "clap": clap, "loudness": loudness}
