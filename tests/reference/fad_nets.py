"""Fixtures of the networks that FID and FAD are defined on: tests/fixtures/fad_nets.

InceptionV3 as pytorch-fid patches it, VGGish as torchvggish has it and PANNs' Cnn14, written down here in PyTorch (their
packages want torchvision or a download), with widths divided by DIV, random weights and norm statistics of real
activations; and what whole encoders give for pictures and sounds that integer formulas make, front ends in numpy.

    fad_nets.py                     the committed fixture
    fad_nets.py full FOLDER         full-size networks with random weights, inputs, outputs and PyTorch's time
"""

import math
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

import common

SIDE = 299


# ---- networks ----


class Unit(nn.Module):
    """Convolution, norm with eps 0.001, relu."""

    def __init__(self, inputs, outputs, kernel, stride=1, pad=0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, pad, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


def mean_pool(x):
    return F.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


def most_pool(x):
    return F.max_pool2d(x, 3, 1, 1)


class Mixed(nn.Module):
    """Branches of units, by name: a branch is a list of names in order, a tuple splits into two that are joined."""

    def __init__(self, units, branches, pool):
        super().__init__()
        for name, unit in units.items():
            self.add_module(name, unit)
        self.branches, self.pool = branches, pool

    def run(self, x, branch):
        for name in branch:
            if isinstance(name, tuple):
                return torch.cat([getattr(self, n)(x) for n in name], 1)
            x = getattr(self, name)(x)
        return x

    def forward(self, x):
        parts = [self.run(x, b) for b in self.branches]
        parts.append(self.branch_pool(self.pool(x)) if self.pool else F.max_pool2d(x, 3, 2))
        return torch.cat(parts, 1)


def mixed_5(i, w, pool):
    units = {"branch1x1": Unit(i, w(64), 1),
             "branch5x5_1": Unit(i, w(48), 1), "branch5x5_2": Unit(w(48), w(64), 5, pad=2),
             "branch3x3dbl_1": Unit(i, w(64), 1), "branch3x3dbl_2": Unit(w(64), w(96), 3, pad=1),
             "branch3x3dbl_3": Unit(w(96), w(96), 3, pad=1), "branch_pool": Unit(i, w(pool), 1)}
    return Mixed(units, [["branch1x1"], ["branch5x5_1", "branch5x5_2"],
                         ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]], mean_pool)


def mixed_6a(i, w):
    units = {"branch3x3": Unit(i, w(384), 3, 2), "branch3x3dbl_1": Unit(i, w(64), 1),
             "branch3x3dbl_2": Unit(w(64), w(96), 3, pad=1), "branch3x3dbl_3": Unit(w(96), w(96), 3, 2)}
    return Mixed(units, [["branch3x3"], ["branch3x3dbl_1", "branch3x3dbl_2", "branch3x3dbl_3"]], None)


def mixed_6(i, w, c):
    flat, tall = {"kernel": (1, 7), "pad": (0, 3)}, {"kernel": (7, 1), "pad": (3, 0)}
    units = {"branch1x1": Unit(i, w(192), 1), "branch7x7_1": Unit(i, w(c), 1), "branch7x7_2": Unit(w(c), w(c), **flat),
             "branch7x7_3": Unit(w(c), w(192), **tall), "branch7x7dbl_1": Unit(i, w(c), 1),
             "branch7x7dbl_2": Unit(w(c), w(c), **tall), "branch7x7dbl_3": Unit(w(c), w(c), **flat),
             "branch7x7dbl_4": Unit(w(c), w(c), **tall), "branch7x7dbl_5": Unit(w(c), w(192), **flat),
             "branch_pool": Unit(i, w(192), 1)}
    return Mixed(units, [["branch1x1"], [f"branch7x7_{k}" for k in (1, 2, 3)],
                         [f"branch7x7dbl_{k}" for k in (1, 2, 3, 4, 5)]], mean_pool)


def mixed_7a(i, w):
    units = {"branch3x3_1": Unit(i, w(192), 1), "branch3x3_2": Unit(w(192), w(320), 3, 2),
             "branch7x7x3_1": Unit(i, w(192), 1), "branch7x7x3_2": Unit(w(192), w(192), (1, 7), pad=(0, 3)),
             "branch7x7x3_3": Unit(w(192), w(192), (7, 1), pad=(3, 0)), "branch7x7x3_4": Unit(w(192), w(192), 3, 2)}
    return Mixed(units, [["branch3x3_1", "branch3x3_2"], [f"branch7x7x3_{k}" for k in (1, 2, 3, 4)]], None)


def mixed_7(i, w, pool):
    flat, tall = {"kernel": (1, 3), "pad": (0, 1)}, {"kernel": (3, 1), "pad": (1, 0)}
    units = {"branch1x1": Unit(i, w(320), 1), "branch3x3_1": Unit(i, w(384), 1),
             "branch3x3_2a": Unit(w(384), w(384), **flat), "branch3x3_2b": Unit(w(384), w(384), **tall),
             "branch3x3dbl_1": Unit(i, w(448), 1), "branch3x3dbl_2": Unit(w(448), w(384), 3, pad=1),
             "branch3x3dbl_3a": Unit(w(384), w(384), **flat), "branch3x3dbl_3b": Unit(w(384), w(384), **tall),
             "branch_pool": Unit(i, w(192), 1)}
    return Mixed(units, [["branch1x1"], ["branch3x3_1", ("branch3x3_2a", "branch3x3_2b")],
                         ["branch3x3dbl_1", "branch3x3dbl_2", ("branch3x3dbl_3a", "branch3x3dbl_3b")]], pool)


class Inception(nn.Module):
    def __init__(self, div):
        super().__init__()

        def w(n):
            return max(2, n // div)

        self.Conv2d_1a_3x3 = Unit(3, w(32), 3, 2)
        self.Conv2d_2a_3x3 = Unit(w(32), w(32), 3)
        self.Conv2d_2b_3x3 = Unit(w(32), w(64), 3, pad=1)
        self.Conv2d_3b_1x1 = Unit(w(64), w(80), 1)
        self.Conv2d_4a_3x3 = Unit(w(80), w(192), 3)
        width_5b = w(64) + w(64) + w(96) + w(32)
        width_5c = w(64) + w(64) + w(96) + w(64)
        width_6 = w(384) + w(96) + width_5c
        width_7a = w(320) + w(192) + width_6
        width_7b = w(320) + 4 * w(384) + w(192)
        self.Mixed_5b = mixed_5(w(192), w, 32)
        self.Mixed_5c = mixed_5(width_5b, w, 64)
        self.Mixed_5d = mixed_5(width_5c, w, 64)
        self.Mixed_6a = mixed_6a(width_5c, w)
        self.Mixed_6b = mixed_6(width_6, w, 128)
        self.Mixed_6c = mixed_6(4 * w(192), w, 160)
        self.Mixed_6d = mixed_6(4 * w(192), w, 160)
        self.Mixed_6e = mixed_6(4 * w(192), w, 192)
        self.Mixed_7a = mixed_7a(4 * w(192), w)
        self.Mixed_7b = mixed_7(w(320) + w(192) + 4 * w(192), w, mean_pool)
        self.Mixed_7c = mixed_7(width_7b, w, most_pool)
        self.fc = nn.Linear(width_7b, max(4, 1008 // div))
        if 4 * w(192) != width_6 or w(320) + w(192) + 4 * w(192) != width_7a:
            raise SystemExit("the widths do not divide evenly")

    def forward(self, x):
        """Features of the four blocks."""
        out = []
        x = F.max_pool2d(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))), 3, 2)
        out.append(x.mean((2, 3)))
        x = F.max_pool2d(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)), 3, 2)
        out.append(x.mean((2, 3)))
        for name in "5b 5c 5d 6a 6b 6c 6d 6e 7a 7b 7c".split():
            x = getattr(self, f"Mixed_{name}")(x)
            if name in ("6e", "7c"):
                out.append(x.mean((2, 3)))
        return out


class Vggish(nn.Module):
    def __init__(self, div, hidden):
        super().__init__()
        layers, i = [], 1
        for out in (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool"):
            if out == "pool":
                layers.append(nn.MaxPool2d(2, 2))
                continue
            layers += [nn.Conv2d(i, out // div, 3, padding=1), nn.ReLU(True)]
            i = out // div
        self.features = nn.Sequential(*layers)
        self.embeddings = nn.Sequential(nn.Linear(24 * i, hidden), nn.ReLU(True), nn.Linear(hidden, hidden),
                                        nn.ReLU(True), nn.Linear(hidden, 128 // div), nn.ReLU(True))

    def forward(self, x, activated=False):
        x = self.features(x).permute(0, 2, 3, 1).reshape(x.shape[0], -1)
        x = self.embeddings[:-1](x)
        return F.relu(x) if activated else x


class Block(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.bn1, self.bn2 = nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)

    def forward(self, x, pool):
        x = F.relu(self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x))))))
        return F.avg_pool2d(x, 2) if pool else x


class Cnn14(nn.Module):
    def __init__(self, div):
        super().__init__()
        widths = [1] + [n // div for n in (64, 128, 256, 512, 1024, 2048)]
        self.bn0 = nn.BatchNorm2d(64)
        for i in range(6):
            self.add_module(f"conv_block{i + 1}", Block(widths[i], widths[i + 1]))
        self.fc1 = nn.Linear(widths[6], widths[6])
        self.fc_audioset = nn.Linear(widths[6], max(3, 527 // div))

    def forward(self, x):
        """x [N,1,T,64] in decibels."""
        x = self.bn0(x.transpose(1, 3)).transpose(1, 3)
        for i in range(6):
            x = getattr(self, f"conv_block{i + 1}")(x, i < 5)
        x = x.mean(3)
        return F.relu(self.fc1(x.max(2)[0] + x.mean(2)))


def settle(model, x, seed):
    """He-sized weights, and norms whose statistics are those of the activations of x."""
    gen = common.generator(seed)
    with torch.no_grad():
        for m in model.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                fan = m.weight[0].numel()
                m.weight.copy_(torch.randn(m.weight.shape, generator=gen) * math.sqrt(2 / fan))
                if m.bias is not None:
                    m.bias.copy_(torch.randn(m.bias.shape, generator=gen) * 0.1)
            elif isinstance(m, nn.BatchNorm2d):
                m.weight.copy_(1 + 0.2 * torch.randn(m.weight.shape, generator=gen))
                m.bias.copy_(0.2 * torch.randn(m.bias.shape, generator=gen))
                m.momentum = None
        model.train()
        model(x)
    return model.eval()


def to_half(model):
    """Weights that float16 holds: the files are half as large."""
    model.load_state_dict({k: v.half().to(v.dtype) if v.is_floating_point() else v
                           for k, v in model.state_dict().items()})


def checked(model, *args):
    """model(*args) in float32, when float64 agrees."""
    with torch.no_grad():
        out = model(*args)
        wide = model.double()(*[a.double() if torch.is_tensor(a) else a for a in args])
        model.float()
    for a, b in zip(out, wide) if isinstance(out, list) else [(out, wide)]:
        if not common.relative(a, b) < common.OUT_TOLERANCE:
            raise SystemExit(f"float32 against float64: {common.relative(a, b):.1e}")
    return out


# ---- pictures ----


def picture(width, height, seed):
    """[height][width][3], the formula of tests/encoders/support_synth.c."""
    y, x, c = np.meshgrid(np.arange(height), np.arange(width), np.arange(3), indexing="ij")
    return ((x * (5 + c) + y * (11 - 2 * c) + (x * y >> 4) * seed + 40 * c) & 255).astype(np.uint8)


def resize_fid(px):
    x = torch.from_numpy(px).permute(2, 0, 1).float().div(255)[None]
    x = F.interpolate(x, size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    return 2 * x - 1


def resize_clean(px):
    channels = [np.asarray(Image.fromarray(px[:, :, c].astype(np.float32)).resize((SIDE, SIDE), Image.BICUBIC))
                for c in range(3)]
    x = np.stack(channels).clip(0, 255)
    return (torch.from_numpy(x)[None] - 128) / 128


def resize_tf(px):
    """TensorFlow 1's ResizeBilinear without align_corners."""
    x = px.astype(np.float32)

    def axis(n):
        at = np.arange(SIDE, dtype=np.float32) * np.float32(np.float32(n) / np.float32(SIDE))
        low = np.floor(at).astype(int)
        return low, np.minimum(low + 1, n - 1), (at - low).astype(np.float32)

    top, bottom, v = axis(x.shape[0])
    left, right, u = axis(x.shape[1])
    u, v = u[None, :, None], v[:, None, None]
    up = x[top][:, left] + (x[top][:, right] - x[top][:, left]) * u
    low = x[bottom][:, left] + (x[bottom][:, right] - x[bottom][:, left]) * u
    return (torch.from_numpy(up + (low - up) * v).permute(2, 0, 1)[None] - 128) / 128


RESIZES = {"fid": resize_fid, "clean": resize_clean, "tf": resize_tf}
PICTURES = [(40, 30, 1), (451, 333, 3), (299, 299, 2), (3, 500, 5)]


# ---- sounds ----


def sound(frames, channels, seed):
    """[frames][channels] of int16: triangles and noise, the formula of tests/encoders/support_synth.c."""
    i = np.arange(frames, dtype=np.int64)
    out = np.empty((frames, channels), np.int16)
    for c in range(channels):
        v = np.zeros(frames, np.int64)
        for k, (period, gain) in enumerate([(73 + 10 * c + seed, 9000), (29 - 3 * c, 4000), (411, 6000)]):
            v += np.abs(2 * ((i + 5 * k) % period) - period) * gain // period - gain // 2
        noise = (i * 1103515245 + 12345 * (c + seed)) % (1 << 31) >> 16
        out[:, c] = v + noise % 1000 - 500
    return out


def mono(s):
    return (s.astype(np.float64) / 32768).mean(1).astype(np.float32)


def kaiser_sinc(x, rate, new):
    """torchaudio's sinc_interp_kaiser with fadtk's settings, in double."""
    zeros, rolloff, beta = 64, 0.9475937167399596, 14.769656459379492
    gcd = math.gcd(rate, new)
    rate, new = rate // gcd, new // gcd
    base = min(rate, new) * rolloff
    width = math.ceil(zeros * rate / base)
    at = np.arange(-width, width + rate)[None] / rate + np.arange(0, -new, -1)[:, None] / new
    at = (at * base).clip(-zeros, zeros)
    window = np.i0(beta * np.sqrt(1 - (at / zeros) ** 2)) / np.i0(beta)
    kernel = np.sinc(at) * window * base / rate
    padded = np.pad(x.astype(np.float64), (width, width + rate))
    n = (len(padded) - kernel.shape[1]) // rate + 1
    out = np.stack([kernel @ padded[i * rate:i * rate + kernel.shape[1]] for i in range(n)]).reshape(-1)
    return out[:math.ceil(new * len(x) / rate)]


def frames_of(x, window, hop):
    n = 1 + (len(x) - window) // hop
    return np.stack([x[i * hop:i * hop + window] for i in range(n)]) * (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(window) / window))


def vggish_patches(x, hop=96):
    spectrum = np.abs(np.fft.rfft(frames_of(x.astype(np.float64), 400, 160), 512))
    mel = 1127 * np.log1p(np.arange(257) * 16000 / 512 / 700)
    edges = np.linspace(1127 * math.log1p(125 / 700), 1127 * math.log1p(7500 / 700), 66)
    bank = np.stack([np.maximum(0, np.minimum((mel - edges[k]) / (edges[k + 1] - edges[k]),
                                              (edges[k + 2] - mel) / (edges[k + 2] - edges[k + 1]))) for k in range(64)], 1)
    bank[0] = 0
    log = np.log(spectrum @ bank + 0.01)
    n = 1 + (len(log) - 96) // hop
    return torch.from_numpy(np.stack([log[i * hop:i * hop + 96] for i in range(n)]).astype(np.float32))[:, None]


def slaney_bank(rate, fft, low, high):
    def to_mel(f):
        return 3 * f / 200 if f < 1000 else 15 + 27 * math.log(f / 1000) / math.log(6.4)

    def to_hz(m):
        return 200 * m / 3 if m < 15 else 1000 * math.exp((m - 15) * math.log(6.4) / 27)

    hz = [to_hz(m) for m in np.linspace(to_mel(low), to_mel(high), 66)]
    f = np.arange(fft // 2 + 1) * rate / fft
    return np.stack([np.maximum(0, np.minimum((f - hz[k]) / (hz[k + 1] - hz[k]), (hz[k + 2] - f) / (hz[k + 2] - hz[k + 1])))
                     * 2 / (hz[k + 2] - hz[k]) for k in range(64)], 1)


def panns_picture(x, bank, window, hop):
    x = np.pad(x.astype(np.float64), window // 2, mode="reflect")
    power = np.abs(np.fft.rfft(frames_of(x, window, hop))) ** 2
    return torch.from_numpy((10 * np.log10(np.maximum(power @ bank, 1e-10))).astype(np.float32))[None, None]


# ---- the fixture ----


def make_inception(io, path):
    gen = common.generator(1)
    model = settle(Inception(16), torch.rand((4, 3, 139, 139), generator=gen) * 2 - 1, 2)
    to_half(model)
    x = (torch.rand((2, 3, 83, 91), generator=gen) * 2 - 1).half().float()
    io["inception.x"] = x.half()
    for i, features in enumerate(checked(model, x)):
        io[f"inception.out.{i}"] = features
    for name, resize in RESIZES.items():
        for i, size in enumerate(PICTURES):
            x = resize(picture(*size)).contiguous()
            io[f"resize.{name}.{i}"] = x[0, :, ::23, ::19].permute(1, 2, 0)
            io[f"picture.{name}.{i}"] = torch.cat(checked(model, x), 1)[0]
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    common.save(state, path / "inception.safetensors", {"format": "pt"})


def make_vggish(io, path):
    gen = common.generator(3)
    model = settle(Vggish(16, 64), torch.rand((2, 1, 96, 64), generator=gen), 4)
    to_half(model)
    x = (torch.randn((3, 1, 96, 64), generator=gen) * 2 - 1).half().float()
    io["vggish.x"] = x.half()
    io["vggish.out"] = checked(model, x)
    io["vggish.activated"] = checked(model, x, True)
    plain = mono(sound(16000 * 23 // 10, 2, 0))
    io["sound.vggish"] = checked(model, vggish_patches(plain))
    short = np.pad(mono(sound(5000, 1, 4)), (0, 11000))
    io["sound.vggish_short"] = checked(model, vggish_patches(short))
    resampled = kaiser_sinc(mono(sound(22050 * 2, 2, 1)), 22050, 16000).astype(np.float32)
    # torchaudio saves through libsndfile: to 32 bits, the upper 16 of which are kept.
    pcm = np.floor(np.rint(resampled.astype(np.float64) * 2**31) / 65536).clip(-32768, 32767) / 32768
    io["sound.vggish_fadtk"] = checked(model, vggish_patches(pcm))
    loud = plain / max(np.float32(0.1), plain.max())
    google = 16000 + (len(loud) - 16000) // 8000 * 8000
    io["sound.vggish_google"] = checked(model, vggish_patches(loud[:google], 50), True)
    common.save({k: v.half() for k, v in model.state_dict().items()}, path / "vggish.safetensors", {"format": "pt"})


def make_cnn14(io, path):
    gen = common.generator(5)
    bank = torch.from_numpy(slaney_bank(32000, 1024, 50, 14000)).half()
    model = settle(Cnn14(32), torch.randn((4, 1, 96, 64), generator=gen) * 20 - 30, 6)
    to_half(model)
    x = (torch.randn((2, 1, 70, 64), generator=gen) * 20 - 30).half().float()
    io["cnn14.x"] = x.half()
    io["cnn14.out"] = checked(model, x)
    for i, frames in enumerate((35200, 11111)):
        x = panns_picture(mono(sound(frames, 2, 2 + i)), bank.double().numpy(), 1024, 320)
        io[f"sound.panns.{i}"] = checked(model, x)
    state = {k: v.half() if v.is_floating_point() else v for k, v in model.state_dict().items()}
    state["logmel_extractor.melW"] = bank
    common.save(state, path / "cnn14.safetensors", {"format": "pt"})


def full(folder):
    """Full-size networks, their outputs, and seconds an item of PyTorch eager on one thread."""
    torch.backends.mkldnn.enabled = True
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    gen = common.generator(7)
    io = {}
    for name, model, x in (
            ("inception", settle(Inception(1), torch.rand((1, 3, 299, 299), generator=gen) * 2 - 1, 8),
             torch.cat([resize_fid(picture(*p)) for p in PICTURES])),
            ("vggish", settle(Vggish(1, 4096), torch.rand((1, 1, 96, 64), generator=gen), 9),
             vggish_patches(mono(sound(16000 * 16, 2, 0)))),
            ("cnn14", settle(Cnn14(1), torch.randn((1, 1, 128, 64), generator=gen) * 20 - 30, 10),
             panns_picture(mono(sound(320000, 2, 2)), slaney_bank(32000, 1024, 50, 14000), 1024, 320))):
        with torch.no_grad():
            best = 1e9
            for _ in range(3):
                start = time.perf_counter()
                out = model(x)
                best = min(best, time.perf_counter() - start)
        io[name] = torch.cat(out, 1) if isinstance(out, list) else out
        print(f"{name}: {best / len(x):.3f} s an item of PyTorch, batch {len(x)}")
        state = {k: v.contiguous() for k, v in model.state_dict().items()}
        if name == "cnn14":
            state["logmel_extractor.melW"] = torch.from_numpy(slaney_bank(32000, 1024, 50, 14000)).float()
            torch.save({"iteration": 7, "model": state}, folder / f"{name}.pth")
        else:
            torch.save(state, folder / f"{name}.pth")
        common.save(state, folder / f"{name}.safetensors", {"format": "pt"})
    common.save_io(folder, io)


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "full":
        full(sys.argv[2])
    else:
        target, tensors = common.folder("fad_nets"), {}
        make_inception(tensors, target)
        make_vggish(tensors, target)
        make_cnn14(tensors, target)
        common.save_io(target, tensors)
