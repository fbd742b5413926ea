"""What commands write into JSON files beside a run and of experiments, small enough to spoil."""

from dataclasses import asdict

from tiny import TINY

from cxrgan.runs.results import ARMS, COMPARISONS

EXPERIMENT = {
    "name": "exp2",
    "state": "finished",
    "config": asdict(TINY),
    "published": {"inception_score": 1.7195, "fid": 0.7332, "note": ""},
    "seconds": 60.0,
    "verdict": "healthy",
    "evaluation": {},
    "measured": [{"step": 3, "frechet_distance": 9.0, "frechet_floor": 1.0, "precision": 0.5, "recall": None}],
}
ROW = {
    "metric": "frechet_distance",
    "value": 7.25,
    "std": None,
    "floor": 2.5,
    "ratio": 2.9,
    "features": "cxr-domain-v1",
    "tap": "features",
    "resize": "antialiased bilinear to 128",
    "n_real": 40,
    "n_fake": 40,
    "n_floor": 20,
    "split": "train",
    "label": None,
    "seed": 0,
}
DRAWN = ROW | {"floor_std": 0.1, "n_floor": [20, 20], "floor_draws": 16, "floor_corrected": True}
ESTIMATE = {"value": 0.95, "low": 0.94, "high": 0.96}
UTILITY = {
    "target": "run, step 6",
    "data": "tiny",
    "classes": ["NORMAL", "PNEUMONIA"],
    **dict.fromkeys(("num_real", "num_synthetic", "num_test", "num_test_patients", "image_size"), 32),
    **dict.fromkeys(("num_seeds", "num_steps", "batch_size", "num_resamples"), 3),
    "patients_named": True,
    "precision": "fp32",
    "coverage": 0.95,
    "seconds": 60.0,
    "arms": [{"name": name, "num_images": 32, "auc": ESTIMATE, "aucs": [0.95], "std": None} for name in ARMS],
    "comparisons": [
        {"of": of, "against": against, "difference": ESTIMATE, "ratio": ESTIMATE} for of, against in COMPARISONS
    ],
}
UNMEASURED = {"metric": "all", "value": None, "note": "no network", "features": "inception"}
FINDING = {"name": "noise", "since": 3, "evidence": "grain 0", "advice": "a lower --lr"}

AUDIT = {
    "target": "run, step 3",
    "data": "tiny",
    "held_out": "tiny (test)",
    "n": 200,
    "n_train": 900,
    "n_held_out": 100,
    "seed": 0,
    "copies": 3,
    "copies_interval": [0.0051, 0.0431],
    "exact": 1,
    "false_alarm": 0.01,
    "searches": [
        {
            "name": "whole image",
            "threshold": 1.25,
            "found": 3,
            "found_held_out": 0,
            "highest": 3.75,
            "highest_held_out": 0.5,
        }
    ],
    "planted": [{"kind": "blended", "num": 50, "found": 45, "interval": [0.786, 0.957], "needed": 2}],
    "features": "cxr-domain-v1",
    "nearness": [
        {
            "who": "generated",
            "n": 200,
            "median": 7.5,
            "too_near": 0.025,
            "too_near_interval": [0.0107, 0.0572],
            "authentic": 0.75,
            "nearer_to_train": 0.5625,
            "nearer_to_train_std": 0.0125,
        }
    ],
    "chance": [0.0, 0.05],
    "pairs": [
        {
            "image": "seed 3",
            "train": "secret-person.png",
            "search": "whole image",
            "evidence": 3.75,
            "correlation": 1.0,
            "row": 0.5,
            "column": 0.5,
            "copy": True,
        }
    ],
}


def sweep_page(rows: list[dict[str, object]], words: str) -> dict[str, object]:
    """What `cxrgan experiments` writes for the report, with these words at every place for words."""
    return {"page": {"about": words, "tables": [{"title": words, "rows": rows, "note": words}], "notes": [words]}}
