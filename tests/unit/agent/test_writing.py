"""What is measured of a guest's writing, and what chance has to do with it."""

import pytest

from corral.agent.writing import at_most
from corral.model.units import MiB


@pytest.mark.parametrize(
    ("sampled", "most"), [(0, 0), (2, 4), (18, 24), (32, 40), (8 * 1024, 8 * 1024 + 128)]
)
def test_few_samples_leave_much_to_chance_and_many_little(sampled: int, most: int) -> None:
    assert at_most(sampled * MiB) == most * MiB
