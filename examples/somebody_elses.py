"""Measure images that another generator made: any folder of pictures, against any folder of real ones.

    python examples/somebody_elses.py GENERATED REAL

GENERATED and REAL are folders of images, or dataset folders. Each metric is printed beside its floor, the score of
real images against other real images: a generator whose images cannot be told from real ones would get that.
"""

import sys

import cxrgan


def main(generated: str, real: str) -> None:
    measured = cxrgan.evaluate(generated, real, rulers=("domain",), progress=True)
    print(f"{measured.n_fake} images of {measured.target} against {measured.n_real} of {measured.data}")
    for row in measured.rows:
        if row["value"] is not None and row["label"] is None:
            floor = "" if row["floor"] is None else f"floor {row['floor']:.3g} ± {row['floor_std']:.2g}"
            print(f"{row['metric']:20} {row['value']:8.3g}   {floor}")
    print("By the chest X-ray network", measured.rows[0]["features"], "- its Frechet distance is no FID.")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
