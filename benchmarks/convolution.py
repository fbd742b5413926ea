"""Which way of computing the 4 x 4, stride 2 convolution is the fastest on this CPU, layer by layer.

    python -m benchmarks.convolution [--precision fp32] [--batch 64] [--rounds 5]

For every layer of the reports' networks, there and back: the forward pass and both backward passes by PyTorch's own
convolution, by one matrix product over gathered patches, and by Winograd's nine products; medians, the three taking
turns. `models/convolution.py` follows from these numbers.
"""

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.cost import product_rate
from cxrgan.models import convolution, winograd

SHAPES = ((3, 64, 64), (64, 128, 32), (128, 256, 16), (256, 512, 8), (512, 1024, 8), (64, 128, 64))
"""Channels at the larger side, at the smaller side, and pixels of the larger side."""
WAYS: dict[str, dict[str, Callable[[Tensor, Tensor], Tensor]]] = {
    "halve": {
        "convolution": lambda x, weight: F.conv2d(x, weight, stride=2, padding=1),
        "product": convolution.halve,
        "nine products": winograd.halve,
    },
    "double": {
        "convolution": lambda x, weight: F.conv_transpose2d(x, weight, stride=2, padding=1),
        "product": convolution.double,
        "nine products": winograd.double,
    },
}


def seconds(way: Callable[[Tensor, Tensor], Tensor], x: Tensor, weight: Tensor, dtype: torch.dtype) -> float:
    """Of the forward and both backward passes."""
    since = time.perf_counter()
    with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
        y = way(x, weight)
    y.backward(torch.ones_like(y))
    return time.perf_counter() - since


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    rate = product_rate(dtype, "cpu")
    print(f"{torch.get_num_threads()} threads; a large {options.precision} product: {rate / 1e9:,.0f} GFLOP/s")
    print("| layer | GFLOP | " + " | ".join(f"{way}, ms (of that rate)" for way in WAYS["halve"]) + " |")
    print("| --- " * 5 + "|")
    for wide, deep, side in SHAPES:
        flops = 3 * 2 * options.batch * wide * deep * 16 * (side // 2) ** 2
        weight = torch.randn(deep, wide, 4, 4).to(memory_format=torch.channels_last).requires_grad_()
        for layer, ways in WAYS.items():
            shape = (wide, side, side) if layer == "halve" else (deep, side // 2, side // 2)
            x = torch.randn(options.batch, *shape).to(dtype, memory_format=torch.channels_last).requires_grad_()
            rounds = [[seconds(way, x, weight, dtype) for way in ways.values()] for _ in range(options.rounds + 1)]
            found = [statistics.median(column) for column in zip(*rounds[1:], strict=True)]
            cells = " | ".join(f"{1000 * each:.0f} ({flops / each / rate:.0%})" for each in found)
            print(f"| {layer} {wide}, {deep} channels, {side} px | {flops / 1e9:.1f} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
