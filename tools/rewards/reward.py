#!/usr/bin/env python3
"""A reward in Python, standard library only: how much redder than grey a picture is, -1 to 1.

    tiller score exec:tools/rewards/reward.py FOLDER

Replace score() by what you want; pip's packages (PIL, torch, ...) may be used like anywhere. Standard output
belongs to the protocol: print() for yourself goes to standard error.
"""
import json
import struct
import sys
import zlib


def read_png(path):
    """Rows of RGB bytes. What tiller writes is 8 bits, three channels, not interlaced."""
    data = open(path, "rb").read()
    at, packed, width, height = 8, b"", 0, 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height = struct.unpack(">II", body[:8])
        elif kind == b"IDAT":
            packed += body
        at += 12 + size
    raw, stride, above, rows = zlib.decompress(packed), 3 * width, bytes(3 * width), []
    for y in range(height):
        kind, row = raw[y * (stride + 1)], bytearray(raw[y * (stride + 1) + 1 : (y + 1) * (stride + 1)])
        for i in range(stride if kind else 0):
            left, up = row[i - 3] if i >= 3 else 0, above[i]
            corner = above[i - 3] if i >= 3 else 0
            if kind == 4:
                guess = left + up - corner
                near = min((left, up, corner), key=lambda x: abs(guess - x))
            else:
                near = (0, left, up, (left + up) // 2)[kind]
            row[i] = (row[i] + near) & 255
        rows.append(row)
        above = row
    return rows


def score(item):
    """The number for one sample; item has path, prompt, width, height. The prompt may be missing."""
    pixels = b"".join(read_png(item["path"]))
    red, green, blue = (sum(pixels[c::3]) for c in range(3))
    return (red - (green + blue) / 2) / (255 * len(pixels) / 3)


def main():
    messages, sys.stdout = sys.stdout, sys.stderr  # print() must not break the protocol

    def send(message):
        messages.write(json.dumps(message, allow_nan=False) + "\n")
        messages.flush()

    hello = json.loads(sys.stdin.readline())
    if 1 not in hello["versions"]:
        return send({"error": "this program speaks version 1 only"})
    # Load models here: tiller waits 30 s for the next line (exec:...,start=300 for more).
    send({"version": 1, "name": "redness", "modalities": ["image"], "deterministic": True, "range": [-1, 1], "max_batch": 16})
    for line in sys.stdin:
        request = json.loads(line)
        if request["kind"] != "score":
            send({"id": request["id"], "error": {"text": "unknown kind " + request["kind"]}})
            continue
        send({"id": request["id"], "scores": [score(item) for item in request["items"]]})


main()
