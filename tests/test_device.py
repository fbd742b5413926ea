"""What a process does with the memory it frees."""

import subprocess
import sys

import pytest

FAULTS = """
import resource, torch
from cxrgan.device import keep_freed_memory

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

first = faults()
keep_freed_memory()
faults()
print(first, faults())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the allocator is glibc's")
def test_memory_that_is_freed_is_not_asked_of_the_kernel_again() -> None:
    done = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, check=True)
    before, after = map(int, done.stdout.split())
    assert before > 10 * 16 * 2**20 * 4 / 2**21  # pages of at most 2 MB
    assert after < before / 10
