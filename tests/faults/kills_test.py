# SPDX-License-Identifier: Apache-2.0
"""kill -9 at drawn events: see kills.py. The seed is new each time and printed; a failure names its command."""

from __future__ import annotations

import random
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import kills


@pytest.mark.timeout(900)
@pytest.mark.parametrize("target", ["filesystem", "s3"])
def test_every_kill_is_carried_on_by_the_same_command(target: str) -> None:
    result = kills.run(target=target, kills=20, seed=random.SystemRandom().randrange(2**32), sanitizers=True)
    assert len(result.kills) == 20
    kills.check_spread(result)


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("target", ["filesystem", "s3"])
def test_two_hundred_kills_are_carried_on_by_the_same_command(target: str) -> None:
    result = kills.run(target=target, kills=200, seed=random.SystemRandom().randrange(2**32))
    assert len(result.kills) == 200
    kills.check_spread(result)
