"""Memory of a training run on a CPU."""

import ctypes
import json

import pytest
from fresh import fresh

# according to glibc: bytes of a step in separate mappings, which are returned to the system, and by
# how much the heap shrinks after the step
STEP = """
import ctypes, json, sys, torch
from backbones.training.devices import keep_freed_memory

class Account(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in 'arena ordblks smblks hblks hblkhd usmblks '
                'fsmblks uordblks fordblks keepcost'.split()]

library = ctypes.CDLL(None)
library.mallinfo2.restype = Account
if json.loads(sys.argv[1]):
    assert keep_freed_memory()
before = library.mallinfo2()
maps = [torch.ones(5 << 20) for _ in range(4)]
during = library.mallinfo2()
del maps
after = library.mallinfo2()
print(json.dumps([during.hblkhd - before.hblkhd, during.arena - after.arena]))
"""


@pytest.mark.skipif(not hasattr(ctypes.CDLL(None), 'mallinfo2'), reason='needs glibc 2.33')
@pytest.mark.parametrize('kept', [True, False])
def test_the_heap_holds_the_maps_of_a_step_for_the_next_one(kept: bool) -> None:
    returned = json.loads(fresh(STEP, json.dumps(kept)).splitlines()[-1])
    assert (max(returned) <= 0) == kept, returned
