"""The script for a machine with a GPU runs here too, small and quick, and says what it is to say."""

import json
from pathlib import Path

import pytest

from benchmarks import gpu


def test_the_script_for_gpus_writes_all_its_numbers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu, "EXPERIMENTS", ("exp1",))
    gpu.main(["--device", "cpu", "--quick", "--out", str(tmp_path / "gpu.json")])
    found = json.loads((tmp_path / "gpu.json").read_text())
    assert found["correct"] == {"device_from_cpu": 0.0, "graphs_from_eager": 0.0, "resume_is_exact": True}
    assert found["ratios"]["64"]["ratio"] > 0
    assert found["experiments"]["exp1"]["steps"] == 2
