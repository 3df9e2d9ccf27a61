"""Sounds: small files in formats that only libraries write, and what resamplers and loudness meters make of numbers.

Run with the audio environment of README.md (torchaudio 2.5.1, resampy 0.4.3, soxr, soundfile, pyloudnorm).

- fixtures/sounds/tone.*: 0.1 s in stereo at 16 kHz, left 0.5 sin(2 pi 440 t), right 0.25 sin(2 pi 1000 t).
- fixtures/resample/expected.safetensors: what resamplers make of `signal`, at several pairs of
  rates: RESAMPLER.FROM.TO.
- fixtures/resample/loudness.json: pyloudnorm's numbers of `steps` (mono, stereo, five channels, at several rates).
"""

import json
import pathlib

import numpy as np
import pyloudnorm
import resampy
import soundfile
import soxr
import torch
import torchaudio
from safetensors.numpy import save_file

FIXTURES = pathlib.Path(__file__).resolve().parent.parent / "fixtures"
PAIRS = ((44100, 16000), (48000, 16000), (16000, 48000), (22050, 48000), (8000, 44100), (11025, 16000), (96000, 16000))
FADTK = dict(lowpass_filter_width=64, rolloff=0.9475937167399596, resampling_method="sinc_interp_kaiser", beta=14.769656459379492)


def tones():
    folder = FIXTURES / "sounds"
    folder.mkdir(parents=True, exist_ok=True)
    t = np.arange(1600) / 16000
    x = np.stack([0.5 * np.sin(2 * np.pi * 440 * t), 0.25 * np.sin(2 * np.pi * 1000 * t)], 1)
    kinds = {
        "mp3": ("MP3", "MPEG_LAYER_III"), "ogg": ("OGG", "VORBIS"), "opus": ("OGG", "OPUS"), "aiff": ("AIFF", "PCM_24"),
        "au": ("AU", "ULAW"), "caf": ("CAF", "ALAC_16"), "w64": ("W64", "PCM_16"), "rf64": ("RF64", "PCM_16"),
        "flac": ("FLAC", "PCM_24"), "adpcm.wav": ("WAV", "IMA_ADPCM"), "u8.wav": ("WAV", "PCM_U8"),
    }
    for name, (form, subtype) in kinds.items():
        soundfile.write(folder / f"tone.{name}", x, 16000, format=form, subtype=subtype)


def signal(n):
    """Every frequency once: a sweep, with steps at the ends."""
    i = np.arange(n, dtype=np.float64)
    return (0.6 * np.sin(i * i * (np.pi / (2 * n))) + 0.2).astype(np.float32)


def resamplers():
    out = {}
    x = signal(400)
    for a, b in PAIRS:
        wave = torch.from_numpy(x)[None]
        out[f"torchaudio.{a}.{b}"] = torchaudio.transforms.Resample(a, b)(wave)[0].numpy()
        out[f"kaiser-fadtk.{a}.{b}"] = torchaudio.transforms.Resample(a, b, **FADTK)(wave)[0].numpy()
        out[f"resampy-best.{a}.{b}"] = resampy.resample(x, a, b, filter="kaiser_best")
        out[f"resampy-fast.{a}.{b}"] = resampy.resample(x, a, b, filter="kaiser_fast")
        out[f"soxr-hq.{a}.{b}"] = soxr.resample(x, a, b, quality="HQ")
        out[f"soxr-vhq.{a}.{b}"] = soxr.resample(x, a, b, quality="VHQ")
    folder = FIXTURES / "resample"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: np.ascontiguousarray(v) for k, v in out.items()}, folder / "expected.safetensors")


def steps(rate, channels):
    """Three seconds: a loud one, one 20 dB softer, one of silence."""
    i = np.arange(3 * rate, dtype=np.float64)
    gain = np.where(i < rate, 1.0, np.where(i < 2 * rate, 0.1, 0.0))
    x = [gain * 0.5 / (c + 1) * np.sin(2 * np.pi * 300 * (c + 1) * i / rate) for c in range(channels)]
    return np.stack(x, 1).astype(np.float32)


def loudness():
    rows = []
    for rate in (16000, 44100, 48000, 96000):
        for channels in (1, 2, 5):
            x = steps(rate, channels).astype(np.float64)
            rows.append({"rate": rate, "channels": channels, "pyloudnorm": float(pyloudnorm.Meter(rate).integrated_loudness(x))})
    with open(FIXTURES / "resample" / "loudness.json", "w") as f:
        json.dump(rows, f, indent=1)
        f.write("\n")


tones()
resamplers()
loudness()
