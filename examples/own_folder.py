"""From a folder of your own X-rays to generated images and a report.

    python examples/own_folder.py FOLDER OUT [EPOCHS]

FOLDER may be Kaggle's layout (train/NORMAL/...), a folder of classes, or only files. Everything is made in OUT.
Ctrl-C saves: the same command continues.
"""

import sys
from pathlib import Path

import cxrgan


def main(folder: str, out: Path, epochs: float = 40) -> None:
    if (out / "data").exists():
        data = cxrgan.load_dataset(out / "data")
    else:
        data = cxrgan.prepare(folder, out / "data", size=64, progress=True)
    print(data)

    by_class = len(data.classes) > 1 and bool((data.labels >= 0).all())
    if (out / "run").exists():
        run = cxrgan.load_run(out / "run").resume(progress=True)
    else:
        run = cxrgan.train(
            data,
            out / "run",
            settings={"epochs": epochs, "conditional": by_class, "evaluate_every": 500},
            progress=True,
        )
    print(run)
    print("The doctor:", run.diagnosis)
    if run.step < run.num_steps:
        return  # stopped by Ctrl-C, and saved

    print(cxrgan.evaluate(run, out / "data", rulers=("domain",), progress=True))
    if not (out / "images").exists():
        run.generator().sample(64).save(out / "images")
    print("Images in", out / "images", "and a report in", cxrgan.report(run))


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit(__doc__)
    main(sys.argv[1], Path(sys.argv[2]), *map(float, sys.argv[3:]))
