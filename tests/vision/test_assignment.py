"""The assignment is scipy's, and scipy's package is not loaded for it."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

from tests.commands import python
from videodag_cli.vision.assignment import largest_total


def test_pairs_are_those_of_scipy() -> None:
    random = np.random.default_rng(4)
    for _ in range(50):
        worth = random.random(tuple(random.integers(0, 9, 2))).round(1)
        ours, theirs = largest_total(worth), linear_sum_assignment(worth, maximize=True)
        assert [values.tolist() for values in ours] == [values.tolist() for values in theirs]


def test_the_package_around_it_is_not_loaded() -> None:
    code = (
        "import sys, numpy as np\nfrom videodag_cli.vision.assignment import largest_total\n"
        "largest_total(np.eye(3)); print('scipy.optimize' in sys.modules)"
    )
    assert python(code).strip() == "False"
