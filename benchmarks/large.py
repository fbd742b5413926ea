"""Whether `prepare` and `train` take the same memory, however many images there are.

    python benchmarks/large.py [--num 3000 30000] [--size 128] [--limit 1000]

For each number of phantoms: `cxrgan prepare phantom` and twenty steps of `cxrgan train`, both under a limit on the
memory they may allocate (RLIMIT_DATA; pages of files do not count), with the most that each had of its own. Linux only.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MB = 10**6
TRAIN = ("--recipe", "stable-128", "--steps", "20", "--batch-size", "16", "--device", "cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--num", type=int, nargs="+", default=[3_000, 30_000])
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--limit", type=int, default=1000, help="MB that a process may allocate")
    options = parser.parse_args()
    print("| phantoms | all their pixels | prepare: memory | s | train, 20 steps: memory | s |")
    print("| ---: " * 6 + "|", flush=True)
    for num in options.num:
        with tempfile.TemporaryDirectory() as name:
            data, run = f"{name}/data", f"{name}/run"
            prepare = ("prepare", "phantom", "--num", str(num), "--size", str(options.size), "--out", data)
            cells = [f"{num:,}", f"{num * options.size**2 / MB:,.0f} MB"]
            for command in (prepare, ("train", "--data", data, "--run", run, *TRAIN)):
                memory, seconds = watched(command, options.limit * MB, Path(name))
                cells += [f"{memory / MB:,.0f} MB", f"{seconds:.0f}"]
        print("| " + " | ".join(cells) + " |", flush=True)


def watched(command: tuple[str, ...], limit: int, folder: Path) -> tuple[int, float]:
    """Run a command of cxrgan -> the most anonymous memory it had, in bytes, and its seconds."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))

    since, most = time.monotonic(), 0
    with (folder / "output").open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cxrgan", *command], stdout=output, stderr=output, preexec_fn=limited
        )
        while process.poll() is None:
            most = max(most, anonymous(process.pid))
            time.sleep(0.1)
    if process.returncode:
        raise SystemExit((folder / "output").read_text()[-2000:])
    return most, time.monotonic() - since


def anonymous(pid: int) -> int:
    """Bytes of memory that are no pages of files."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon:")), 0)


if __name__ == "__main__":
    main()
