"""What comes before the command is loaded."""

from __future__ import annotations

import sys

import pytest

from tests.commands import python

FAULTS = """
import resource, sys
from videodag_cli.system.loading import on_one_stack

def nothing(a=0, b=0, c=0, d=0, e=0, f=0, g=0, h=0, i=0, j=0, k=0, l=0, m=0, n=0, o=0, p=0): return a

def faults(depth):
    "Pages of memory that became new in a thousand calls, that many calls deep."
    if depth:
        return faults(depth - 1)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(1000):
        nothing()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def worst(): print(max(faults(depth) for depth in range(400)))

{run}
"""


@pytest.mark.skipif(sys.platform != "linux", reason="counts page faults as Linux does")
def test_calls_that_lie_where_a_piece_of_the_stack_ends_cost_no_memory() -> None:
    assert int(python(FAULTS.format(run="worst()"))) > 900, "Python no longer gives pieces back: `on_one_stack` may go"
    assert int(python(FAULTS.format(run="on_one_stack(worst)"))) < 100
