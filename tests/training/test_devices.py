"""Memory of a training run on a CPU."""

import subprocess
import sys

STEPS = """
import resource, sys, torch
from backbones.training.devices import keep_freed_memory

print(keep_freed_memory() if sys.argv[1] == 'kept' else False)
convolution = torch.nn.Conv2d(64, 64, 1)
for step in range(20):
    if step == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    convolution(torch.ones(2, 64, 192, 192)).square().mean().backward()
print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 10)
"""


def _faults(kind: str) -> tuple[str, int]:
    command = [sys.executable, '-c', STEPS, kind]
    accepted, faults = subprocess.check_output(command, text=True).split()[-2:]
    return accepted, int(faults)


def test_a_step_reuses_the_memory_of_the_step_before() -> None:
    accepted, kept = _faults('kept')
    assert accepted == 'True'
    assert kept < _faults('returned')[1] / 3
