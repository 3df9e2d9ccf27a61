"""PyTorch eager float32 on the encoders of `tiller bench`: bench_encoders.py [--threads 1] [--repeat 5] [NAME ...]

Prints a JSON array with rows clip_b32 (batch 32), clip_l14 (batch 4) and inception (batch 8, 299x299; needs pytorch-fid)
like `tiller bench --json`: name, batch, threads, ms (median after one warm-up), best_ms, cpu_ms (least processor time).
Weights are random: they do not change the time.
"""

import argparse
import json
import statistics
import time

import torch

BATCH = {"clip_b32": 32, "clip_l14": 4, "inception": 8}
CLIP = {
    "clip_b32": dict(hidden_size=768, intermediate_size=3072, num_hidden_layers=12, num_attention_heads=12, patch_size=32,
                     projection_dim=512),
    "clip_l14": dict(hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16, patch_size=14,
                     projection_dim=768),
}


def inception():
    import pytorch_fid.inception as fid

    def network():
        net = fid._inception_v3(num_classes=1008, aux_logits=False, weights=None)
        net.Mixed_5b = fid.FIDInceptionA(192, pool_features=32)
        net.Mixed_5c = fid.FIDInceptionA(256, pool_features=64)
        net.Mixed_5d = fid.FIDInceptionA(288, pool_features=64)
        for part, width in (("b", 128), ("c", 160), ("d", 160), ("e", 192)):
            setattr(net, "Mixed_6" + part, fid.FIDInceptionC(768, channels_7x7=width))
        net.Mixed_7b = fid.FIDInceptionE_1(1280)
        net.Mixed_7c = fid.FIDInceptionE_2(2048)
        return net

    fid.fid_inception_v3 = network  # as the class has it, without the download
    net = fid.InceptionV3([3], resize_input=False, normalize_input=False).eval()
    return lambda x: net(x)[0]


def clip(name):
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection
    net = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP[name])).eval()
    return lambda x: net(x).image_embeds


def measure(name, threads, repeat):
    side = 299 if name == "inception" else 224
    run = inception() if name == "inception" else clip(name)
    x = torch.randn(BATCH[name], 3, side, side)
    wall, cpu = [], []
    with torch.inference_mode():
        run(x)
        for _ in range(repeat):
            start, start_cpu = time.perf_counter(), time.process_time()
            run(x)
            wall.append((time.perf_counter() - start) * 1e3)
            cpu.append((time.process_time() - start_cpu) * 1e3)
    return dict(name=name, batch=BATCH[name], threads=threads, ms=round(statistics.median(wall), 1),
                best_ms=round(min(wall), 1), cpu_ms=round(min(cpu), 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help="of " + ", ".join(BATCH) + "; default all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=5)
    args = parser.parse_args()
    for name in args.names:
        if name not in BATCH:
            parser.error(f"{name} is not of {', '.join(BATCH)}")
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    rows = [measure(name, args.threads, args.repeat) for name in args.names or BATCH]
    print(json.dumps(rows, indent=1))


if __name__ == "__main__":
    main()
