"""Train the same recipe with several learning rates, and compare what comes out.

    python examples/sweep.py OUT [STEPS]

It draws phantom X-rays, so that it runs anywhere; point `data` to a dataset folder of your own. For longer sweeps there
is `cxrgan experiments`, which runs several at once and continues after a break.
"""

import sys
from pathlib import Path

import cxrgan

RATES = (1e-4, 5e-4, 2e-3)


def main(out: Path, steps: int = 300) -> None:
    data = cxrgan.prepare("phantom", out / "data", size=32, num=500)
    print("learning rate  Frechet distance (cxr-domain-v1)  precision  recall  the doctor")
    for rate in RATES:
        run = cxrgan.train(data, out / f"lr-{rate:g}", recipe="quick", settings=settings(rate, steps))
        measured = cxrgan.evaluate(run, out / "data", rulers=("domain",))
        distance, precision, recall = (
            measured.row(metric)["value"] for metric in ("frechet_distance", "precision", "recall")
        )
        print(f"{rate:<13g}  {distance:<32.1f}  {precision:<9.2f}  {recall:<6.2f}  {run.diagnosis.verdict}")
    print("All of it on one page:", cxrgan.report(out))


def settings(rate: float, steps: int) -> dict[str, object]:
    """Those of `quick` for 32 pixels."""
    return {"lr": rate, "steps": steps, "sample_every": max(1, steps // 5), "model": {"image_size": 32}}


if __name__ == "__main__":
    if not 2 <= len(sys.argv) <= 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
