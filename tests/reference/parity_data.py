"""Data for score_parity.py: pictures and sounds in pairs of folders, made from shared data under a seed.

pictures/{a,b}: sizes from 24 to 500 px, PNG, JPEG (4:4:4, 4:2:0, CMYK, EXIF-rotated), WebP, BMP; grey, palette and alpha ones.
captions/: a text a picture of b, as clip-score wants it; b has the same beside its pictures.
sounds/{a,b}: 8, 11.025, 22.05, 32, 44.1, 48 and 96 kHz, mono and stereo, 16 and 24 bits and floats, WAV and FLAC; all longer than two
seconds, since fadtk cannot take a file of one row. one-size/{a,b}: what is a single row a sound, from 0.4 s. long/b: 20 minutes in 20 files.
"""

import pathlib

import numpy as np
import soundfile
from PIL import Image, ImageDraw
from scipy.signal import resample_poly

WORDS = ["red circle", "blue square", "Yellow TRIANGLE!", "shirt", "ankle boot", "bag, on a table", "two trousers", "a coat's sleeve",
         "sneaker (old)", "green dress & hat", "naïve café", "sandal no. 42"]


def tiles(shared):
    sprite = np.asarray(Image.open(shared / "images" / "fashion-mnist-sprite.png").convert("L"))
    return sprite.reshape(30, 28, 30, 28).swapaxes(1, 2).reshape(900, 28, 28)


def clothing(rng, cut, side_b):
    """Coloured clothes on a gradient, scaled to a size of their own."""
    n = int(rng.integers(1, 4))
    w, h = int(rng.integers(24, 500)), int(rng.integers(24, 400))
    y, x = np.mgrid[0:1:h * 1j, 0:1:w * 1j]
    tint = rng.uniform(40, 215, (3, 3))
    ground = tint[0] + (tint[1] - tint[0]) * x[..., None] + (tint[2] - tint[0]) * y[..., None]
    if side_b:
        ground = ground * 0.7 + 40 * np.sin(x[..., None] * rng.uniform(5, 40) + rng.uniform(0, 6, 3)) + rng.normal(0, 8, (h, w, 3))
    picture = Image.fromarray(ground.clip(0, 255).astype(np.uint8))
    for _ in range(n):
        tile = cut[rng.integers(0, 450) + (450 if side_b else 0)]
        size = int(max(8, min(w, h) * rng.uniform(0.3, 0.9)))
        mask = Image.fromarray(tile).resize((size, size), Image.Resampling.BICUBIC)
        paint = Image.new("RGB", (size, size), tuple(int(v) for v in rng.integers(0, 256, 3)))
        picture.paste(paint, (int(rng.integers(0, max(1, w - size))), int(rng.integers(0, max(1, h - size)))), mask)
    return picture


def scene(rng, side_b):
    w, h = int(rng.integers(48, 400)), int(rng.integers(48, 400))
    picture = Image.new("RGB", (w, h), tuple(int(v) for v in rng.integers(0, 256, 3)))
    draw = ImageDraw.Draw(picture)
    for _ in range(int(rng.integers(1, 6 if side_b else 4))):
        x, y, r = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(5, min(w, h) / 2)
        fill = tuple(int(v) for v in rng.integers(0, 256, 3))
        shape = rng.integers(0, 3)
        if shape == 0:
            draw.ellipse((x - r, y - r, x + r, y + r), fill=fill)
        elif shape == 1:
            draw.rectangle((x - r, y - r * 0.7, x + r, y + r * 0.7), fill=fill)
        else:
            draw.polygon([(x, y - r), (x - r, y + r), (x + r, y + r)], fill=fill)
    return picture


def save_picture(picture, stem, i):
    """By turns every form that the tools read alike."""
    form = i % 11
    if form in (0, 1, 2):
        picture.save(f"{stem}.png")
    elif form in (3, 4):
        picture.save(f"{stem}.jpg", quality=90, subsampling=0 if form == 3 else 2)
    elif form == 5:
        picture.save(f"{stem}.webp", quality=85)
    elif form == 6:
        picture.save(f"{stem}.webp", lossless=True)
    elif form == 7:
        picture.save(f"{stem}.bmp")
    elif form == 8:
        picture.convert("L").save(f"{stem}.png")
    elif form == 9:
        picture.convert("CMYK").save(f"{stem}.jpg", quality=92)
    else:
        exif = Image.Exif()
        exif[0x112] = 6
        picture.save(f"{stem}.jpg", quality=88, exif=exif)


def make_pictures(work, shared, n):
    cut = tiles(shared)
    for side, count in (("a", n), ("b", n)):
        rng = np.random.default_rng([7, ord(side)])
        folder = work / "pictures" / side
        folder.mkdir(parents=True)
        for i in range(count):
            picture = clothing(rng, cut, side == "b") if i % 3 else scene(rng, side == "b")
            save_picture(picture, folder / f"{i:03}", i)
    texts = work / "captions"
    texts.mkdir()
    rng = np.random.default_rng(11)
    for path in sorted((work / "pictures" / "b").iterdir()):
        text = "a photo of a " + " and a ".join(rng.choice(WORDS, int(rng.integers(1, 4))))
        (texts / f"{path.stem}.txt").write_text(text)
    alpha = work / "alpha"
    for side in "ab":
        (alpha / side).mkdir(parents=True)
        rng = np.random.default_rng([13, ord(side)])
        for i in range(6):
            picture = scene(rng, side == "b").convert("RGB")
            mask = Image.fromarray(rng.integers(0, 256, (picture.height, picture.width), dtype=np.uint8))
            if i % 3 == 2:
                picture.convert("P", palette=Image.Palette.ADAPTIVE).save(alpha / side / f"{i}.png")
            else:
                picture.putalpha(mask.resize(picture.size))
                (picture if i % 3 else picture.convert("LA")).save(alpha / side / f"{i}.png")


def read(path):
    x, rate = soundfile.read(path, always_2d=True)
    return x, rate


def as_mono(x):
    return x.mean(axis=1)


def montage(rng, paths, seconds, rate):
    """Sounds behind one another, at one rate, mono."""
    parts, n = [], 0
    while n < seconds * rate:
        x, r = read(paths[int(rng.integers(0, len(paths)))])
        x = as_mono(x) if r == rate else resample_poly(as_mono(x), rate, r)
        parts.append(x * rng.uniform(0.3, 1))
        n += len(x)
    return np.concatenate(parts)[:int(seconds * rate)]


FORMS = [(44100, 1, "flac", "PCM_16"), (48000, 2, "wav", "PCM_16"), (22050, 1, "wav", "FLOAT"), (32000, 2, "flac", "PCM_24"),
         (16000, 1, "wav", "PCM_16"), (11025, 1, "flac", "PCM_16"), (96000, 1, "wav", "PCM_24"), (44100, 2, "flac", "PCM_16")]


def write_sound(rng, folder, name, x, rate, form):
    to, channels, ext, subtype = form
    if to != rate:
        x = resample_poly(x, to, rate) if to < 4 * rate else np.interp(np.arange(int(len(x) * to / rate)) * rate / to, np.arange(len(x)), x)
    if channels == 2:
        other = np.roll(x, int(rng.integers(1, 200))) * rng.uniform(0.2, 1)
        x = np.stack([x, other], 1)
    soundfile.write(folder / f"{name}.{ext}", np.clip(x, -0.99, 0.99), to, subtype=subtype)


def make_sounds(work, shared, n):
    music = sorted(p for p in (shared / "music").iterdir() if p.suffix == ".flac")
    speech = sorted((shared / "speech").glob("*.wav"))
    for side in "ab":
        rng = np.random.default_rng([17, ord(side)])
        mine = music[0::2] if side == "a" else music[1::2]
        spoken = speech[0::2] if side == "a" else speech[1::2]
        folder, rows = work / "sounds" / side, work / "one-size" / side
        folder.mkdir(parents=True)
        rows.mkdir(parents=True)
        for i in range(n):
            if i % 4 == 3:
                write_sound(rng, folder, f"{i:02}", montage(rng, spoken, rng.uniform(2.2, 12), 8000), 8000, (8000, 1, "wav", "PCM_16"))
            else:
                write_sound(rng, folder, f"{i:02}", montage(rng, mine, rng.uniform(2.2, 14), 44100), 44100, FORMS[(i - i // 4) % 8])
        for i in range(n):
            seconds = 0.4 if i == 0 else rng.uniform(0.9, 3)
            write_sound(rng, rows, f"{i:02}", montage(rng, mine, seconds, 44100), 44100, FORMS[i % 8])
    rng = np.random.default_rng(19)
    (work / "long" / "b").mkdir(parents=True)
    for i in range(20):
        write_sound(rng, work / "long" / "b", f"{i:02}", montage(rng, music[1::2], 62, 44100), 44100, (16000, 1, "wav", "PCM_16"))


def make(work, shared, n_pictures, n_sounds):
    work, shared = pathlib.Path(work), pathlib.Path(shared)
    if not (work / "pictures").exists():
        make_pictures(work, shared, n_pictures)
    if not (work / "sounds").exists():
        make_sounds(work, shared, n_sounds)
