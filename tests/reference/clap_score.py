"""clap_score: a tiny ClapModel folder with tokenizer and preprocessor_config.json, sounds, and transformers' own cosines
of them: short (repeatpad), exactly one window, long (windows side by side, the last at the end; and fused stretches).

windows.safetensors has rows of windows, chosen here as the encoder's settings choose them, run by transformers: SOUND.CROP,
and long.CROP of the three sounds joined, by long_preprocessor_config.json (three seconds). clap_bin is its audio tower as a
pytorch_model.bin of float16."""

import json
import shutil
import sys
import wave

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import ClapAudioModelWithProjection, ClapFeatureExtractor, ClapModel, RobertaTokenizer

import clap
import common

RATE, SECONDS = 8000, 1
PROMPTS = ["a dog barks", "The sound of rain.", " a piano and a violin, 120 bpm"]
LENGTHS = [3000, 8000, 21000]


def sound(index, n):
    t = np.arange(n) / RATE
    rng = np.random.default_rng(index)
    x = 0.4 * np.sin(2 * np.pi * (220 + 160 * index) * t * (1 + 0.3 * t)) + 0.05 * rng.standard_normal(n)
    return np.round(x * 32768).clip(-32768, 32767) / 32768


def pictures(extractor, stretches):
    """Whole or short stretches, no random crop."""
    most = extractor.nb_max_samples
    mels = [extractor._get_input_mel(x, most, extractor.truncation, "repeatpad")[0] for x in stretches]
    return torch.tensor(np.stack(mels)).float()


def starts(n, most):
    return [0] if n <= most else [*range(0, n - most, most), n - most]


def stretches(x, most, crop):
    n = len(x)
    if crop == "windows":
        return [x[s:s + most] for s in starts(n, most)]
    if crop == "centre":
        return [x[max(n - most, 0) // 2:][:most]]
    if crop == "start":
        return [x[:most]]
    quantised = np.trunc(np.clip(x, -1, 1) * 32767) / 32767  # fadtk: 16 bits, then whole windows, zeros behind
    parts = [quantised[s:s + most] for s in range(0, n, RATE)]
    return [np.pad(part, (0, most - len(part))) for part in parts]


def rows_of(model, extractor, x, crop):
    mels = pictures(extractor, stretches(x, extractor.nb_max_samples, crop))
    with torch.inference_mode():
        embeds = model(input_features=mels).audio_embeds
    return embeds / embeds.norm(dim=-1, keepdim=True)


def write_windows(path, model, make_extractor):
    audio = ClapAudioModelWithProjection(model.config.audio_config).eval()
    audio.load_state_dict({k: v for k, v in model.state_dict().items() if k.startswith("audio_")})
    sounds = {str(i): sound(i, n) for i, n in enumerate(LENGTHS)}
    sounds |= {"tiny": sound(0, 7), "silent": np.zeros(5000)}
    short, long = make_extractor(SECONDS), make_extractor(3)
    out = {}
    for name, x in sounds.items():
        for crop in ("windows", "fadtk", *(("centre", "start") if name == "2" else ())):
            out[f"{name}.{crop}"] = rows_of(audio, short, x, crop)
    joined = np.concatenate([sounds[k] for k in "012"])
    for crop in ("windows", "centre", "fadtk"):
        out[f"long.{crop}"] = rows_of(audio, long, joined, crop)
    long.save_pretrained(path)
    (path / "preprocessor_config.json").rename(path / "long_preprocessor_config.json")
    short.save_pretrained(path)

    bin_path = common.folder("clap_bin")
    short.save_pretrained(bin_path)
    audio = audio.half()
    audio.config.architectures = ["ClapAudioModelWithProjection"]
    audio.config.save_pretrained(bin_path)
    torch.save(audio.state_dict(), bin_path / "pytorch_model.bin")
    out["bin.windows"] = rows_of(audio.float(), short, sounds["2"], "windows")
    save_file({k: v.contiguous() for k, v in out.items()}, path / "windows.safetensors")
    common.report(bin_path)


def write(fused):
    path = common.folder("clap_score_fused" if fused else "clap_score")
    shutil.copytree(common.FIXTURES / "roberta" / "old", path, dirs_exist_ok=True)
    (path / "vectors.json").unlink()
    tokenizer = RobertaTokenizer.from_pretrained(path)
    config = clap.config(fused, num_mel_bins=16, spec_size=64)
    config.text_config.vocab_size = len(tokenizer)
    model = clap.build(lambda: ClapModel(config), 5060 + fused)
    model.save_pretrained(path)
    def make_extractor(seconds):
        return ClapFeatureExtractor(feature_size=16, sampling_rate=RATE, hop_length=100, max_length_s=seconds,
                                    fft_window_size=256, frequency_min=50, frequency_max=3500,
                                    truncation="fusion" if fused else "rand_trunc", padding="repeatpad")

    extractor = make_extractor(SECONDS)
    extractor.save_pretrained(path)
    rows = []
    most = RATE * SECONDS
    for i, (prompt, n) in enumerate(zip(PROMPTS, LENGTHS)):
        x = sound(i, n)
        mels = pictures(extractor, stretches(x, most, "windows"))
        audio = {"input_features": mels}
        if fused:
            audio["is_longer"] = torch.zeros(len(mels), 1, dtype=torch.bool)
        text = tokenizer([prompt], return_tensors="pt", padding="max_length", max_length=24)
        with torch.inference_mode():
            a = model.get_audio_features(**audio).pooler_output
            t = model.get_text_features(**text).pooler_output[0]
        mean = a.mean(0)
        rows.append({"prompt": prompt, "frames": n, "windows": len(mels), "cosine": float(mean @ t / mean.norm()),
                     "file": f"clap_score/sound{i}.wav"})
        if not fused:
            with wave.open(str(path / f"sound{i}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes(np.round(x * 32768).astype("<i2").tobytes())
    (path / "rows.json").write_text(json.dumps({"rate": RATE, "scale": model.logit_scale_a.exp().item(), "rows": rows},
                                               separators=(",", ":")) + "\n")
    if not fused:
        write_windows(path, model, make_extractor)
    common.report(path)


def main():
    write(False)
    write(True)


if __name__ == "__main__":
    sys.exit(main())
