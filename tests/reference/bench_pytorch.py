"""PyTorch eager float32 on the bench UNet of `tiller bench`: bench_pytorch.py [--batch 16,64] [--repeat 5] [--device cpu]

Prints a JSON array with rows unet_forward and unet_train_step (forward, backward of the mean square of the output,
AdamW on all weights) like `tiller bench --json`: name, device, batch, ms (median after one warm-up), gflops.
"""

import argparse
import json
import os
import statistics
import time

import torch
from diffusers import UNet2DConditionModel

FORWARD_GFLOP = 1.22  # a sample; a training step counts three times that

CONFIG = dict(
    sample_size=16, in_channels=4, out_channels=4, block_out_channels=(64, 128, 192), layers_per_block=2,
    down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    cross_attention_dim=128, attention_head_dim=4, norm_num_groups=32)


def median_ms(run, repeat, device):
    times = []
    for turn in range(repeat + 1):
        start = time.perf_counter()
        run()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if turn:
            times.append((time.perf_counter() - start) * 1e3)
    return statistics.median(times)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", default="16,64")
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    device = torch.device(options.device)
    torch.manual_seed(0)
    model = UNet2DConditionModel(**CONFIG).to(device)
    count = sum(w.numel() for w in model.parameters())
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    rows = []
    for batch in map(int, options.batch.split(",")):
        sample = torch.randn(batch, 4, 16, 16, device=device)
        context = torch.randn(batch, 16, 128, device=device)
        step = torch.full((batch,), 500, device=device)

        def forward():
            with torch.no_grad():
                model(sample, step, context)

        def train():
            optimizer.zero_grad(set_to_none=True)
            model(sample, step, context).sample.square().mean().backward()
            optimizer.step()

        for name, run, factor in (("unet_forward", forward, 1), ("unet_train_step", train, 3)):
            ms = median_ms(run, options.repeat, device)
            rows.append({"name": name, "device": f"pytorch {torch.__version__} {device.type}", "batch": batch,
                         "threads": options.threads, "weights": count, "ms": round(ms, 2),
                         "gflops": round(factor * FORWARD_GFLOP * batch / ms * 1e3, 1)})
    print("[\n" + ",\n".join(json.dumps(row) for row in rows) + "\n]")


if __name__ == "__main__":
    main()
