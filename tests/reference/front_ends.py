"""Front ends of audio encoders on signals that C can make again: frames of log-mel pictures, and numpy's old draws.

CLAP through transformers' ClapFeatureExtractor; VGGish, PANNs and our logmel through transformers.audio_utils, whose
banks equal librosa's and torchvggish's. `io.safetensors` holds for a case NAME: `NAME.frames`, the kept frames, and
`NAME`, their values [channel or window, frame, band].
"""

import json

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import ClapFeatureExtractor
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

import common

SEED = 1234


def noise(n, seed):
    """A linear congruential generator's values in [-1, 1)."""
    out, state = np.empty(n), seed
    for i in range(n):
        state = (1664525 * state + 1013904223) % 2**32
        out[i] = state / 2**31 - 1
    return out


def signal(n, rate, seed):
    """A rising tone that swells, a steady one, a little noise."""
    t = np.arange(n) / rate
    tone = 0.4 * (0.6 + 0.4 * np.sin(2 * np.pi * 1.7 * t)) * np.sin(2 * np.pi * (220 * t + 150 * t * t))
    return (tone + 0.2 * np.sin(2 * np.pi * 3000 * t) + 0.05 * noise(n, seed)).astype(np.float32)


def kept(frames):
    """The ends, where frames are mirrored or padded, and some between."""
    return sorted({0, 1, frames // 7, frames // 3, frames // 2, 2 * frames // 3, 6 * frames // 7, frames - 2, frames - 1})


def put(tensors, name, values, frames=None):
    frames = kept(values.shape[1]) if frames is None else frames
    tensors[name] = torch.tensor(values[:, frames], dtype=torch.float32).contiguous()
    tensors[name + ".frames"] = torch.tensor(frames, dtype=torch.int64)


def clap(tensors):
    extractor = ClapFeatureExtractor(frequency_min=50, frequency_max=14000)
    cases = [  # name, samples, truncation, padding
        ("clap.short_repeatpad", 131000, "rand_trunc", "repeatpad"),
        ("clap.short_repeat", 131000, "rand_trunc", "repeat"),
        ("clap.short_pad", 131000, "rand_trunc", "pad"),
        ("clap.exact", 480000, "rand_trunc", "repeatpad"),
        ("clap.long", 1233600, "rand_trunc", "repeatpad"),
        ("clap_fused.short", 131000, "fusion", "repeatpad"),
        ("clap_fused.corner", 480300, "fusion", "repeatpad"),
        ("clap_fused.two_starts", 480480, "fusion", "repeatpad"),
        ("clap_fused.long", 1233600, "fusion", "repeatpad"),
    ]
    for name, n, truncation, padding in cases:
        np.random.seed(SEED)
        x = signal(n, 48000, n % 97)
        mel, longer = extractor._get_input_mel(x.astype(np.float64), 480000, truncation, padding)
        np.random.seed(SEED)
        whole = extractor(x, sampling_rate=48000, truncation=truncation, padding=padding, return_tensors="np")
        assert np.array_equal(np.asarray(mel, dtype=np.float32), whole["input_features"][0])
        put(tensors, name, np.asarray(mel))
        tensors[name + ".longer"] = torch.tensor([int(longer and truncation == "fusion")])


def vggish(tensors):
    bank = mel_filter_bank(257, 64, 125, 7500, 16000, None, "htk", triangularize_in_mel_space=True)
    bank[0] = 0
    x = signal(40000, 16000, 5)
    mel = spectrogram(x, window_function(400, "hann"), 400, 160, fft_length=512, power=1.0, center=False,
                      mel_filters=bank, mel_floor=0.0)
    log = np.log(mel.T + 0.01)
    put(tensors, "vggish", log[: len(log) // 96 * 96].reshape(-1, 96, 64))


def panns(tensors):
    for rate, fft, hop, high in ((32000, 1024, 320, 14000), (16000, 512, 160, 8000), (8000, 256, 80, 4000)):
        bank = mel_filter_bank(fft // 2 + 1, 64, 50, high, rate, "slaney", "slaney")
        mel = spectrogram(signal(2 * rate + 77, rate, 6), window_function(fft, "hann"), fft, hop, power=2.0,
                          mel_filters=bank, mel_floor=1e-10, log_mel="dB")
        put(tensors, f"panns_{rate // 1000}k", mel.T[None])


def logmel(tensors):
    """engine/audio/front_logmel.h"""
    x = signal(41000, 16000, 7)  # 2.56 s: the tail counts
    x = np.pad(x, (0, 48000 - len(x))).reshape(3, 16000)
    bank = mel_filter_bank(513, 64, 50, 8000, 16000, None, "slaney")
    window = window_function(1024, "hann")
    rows = []
    for second in x:
        mel = spectrogram(second, window, 1024, 160, power=2.0, center=False, mel_filters=bank, mel_floor=0.0)
        v = np.log(mel * 4 / window.sum() ** 2 + 1e-10)
        rows.append(np.concatenate([v.mean(axis=1), v.std(axis=1)])[None])
    put(tensors, "logmel", np.stack(rows), [0])


def main():
    path = common.folder("front_ends")
    tensors = {}
    for make in (clap, vggish, panns, logmel):
        make(tensors)
    draws = []
    for n in (1, 2, 3, 1000, 751, 2**31, 2**32 - 1):
        np.random.seed(SEED)
        draws += [[n, [int(np.random.randint(0, n)) for _ in range(4)] + [int(np.random.choice(np.arange(min(n, 5))))]]]
    tensors["numpy_draws"] = torch.tensor([[n, *row] for n, row in draws], dtype=torch.int64)
    save_file(tensors, path / "io.safetensors", metadata={"seed": json.dumps(SEED)})


if __name__ == "__main__":
    main()
