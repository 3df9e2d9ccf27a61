"""clap_score: a tiny ClapModel folder with tokenizer and preprocessor_config.json, sounds, and transformers' own cosines
of them: short (repeatpad), exactly one window, long (windows side by side, the last at the end; and fused stretches)."""

import json
import shutil
import sys
import wave

import numpy as np
import torch
from transformers import ClapFeatureExtractor, ClapModel, RobertaTokenizer

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


def write(fused):
    path = common.folder("clap_score_fused" if fused else "clap_score")
    shutil.copytree(common.FIXTURES / "roberta" / "old", path, dirs_exist_ok=True)
    (path / "vectors.json").unlink()
    tokenizer = RobertaTokenizer.from_pretrained(path)
    config = clap.config(fused, num_mel_bins=16, spec_size=64)
    config.text_config.vocab_size = len(tokenizer)
    model = clap.build(lambda: ClapModel(config), 5060 + fused)
    model.save_pretrained(path)
    extractor = ClapFeatureExtractor(feature_size=16, sampling_rate=RATE, hop_length=100, max_length_s=SECONDS,
                                     fft_window_size=256, frequency_min=50, frequency_max=3500,
                                     truncation="fusion" if fused else "rand_trunc", padding="repeatpad")
    extractor.save_pretrained(path)
    rows = []
    most = RATE * SECONDS
    for i, (prompt, n) in enumerate(zip(PROMPTS, LENGTHS)):
        x = sound(i, n)
        starts = [0] if n <= most else [*range(0, n - most, most), n - most]
        mels = [extractor._get_input_mel(x[s:s + most], most, extractor.truncation, "repeatpad")[0] for s in starts]
        audio = {"input_features": torch.tensor(np.stack(mels)).float()}
        if fused:
            audio["is_longer"] = torch.zeros(len(mels), 1, dtype=torch.bool)
        text = tokenizer([prompt], return_tensors="pt", padding="max_length", max_length=24)
        with torch.inference_mode():
            a = model.get_audio_features(**audio).pooler_output
            t = model.get_text_features(**text).pooler_output[0]
        mean = a.mean(0)
        rows.append({"prompt": prompt, "frames": n, "windows": len(starts), "cosine": float(mean @ t / mean.norm()),
                     "file": f"clap_score/sound{i}.wav"})
        if not fused:
            with wave.open(str(path / f"sound{i}.wav"), "wb") as file:
                file.setparams((1, 2, RATE, 0, "NONE", ""))
                file.writeframes(np.round(x * 32768).astype("<i2").tobytes())
    (path / "rows.json").write_text(json.dumps({"rate": RATE, "scale": model.logit_scale_a.exp().item(), "rows": rows},
                                               separators=(",", ":")) + "\n")
    common.report(path)


def main():
    write(False)
    write(True)


if __name__ == "__main__":
    sys.exit(main())
