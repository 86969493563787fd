# SPDX-License-Identifier: Apache-2.0
"""The closest valid word for one that is none."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``"; did you mean 'copied'?"``, or nothing where no word of `known` is near.

    Case, and ``-`` for ``_``, make no difference.
    """
    by_form = {_form(one): one for one in known}
    near = get_close_matches(_form(word), by_form, 1)
    return f"; did you mean {by_form[near[0]]!r}?" if near else ""


def _form(word: str) -> str:
    return word.casefold().replace("-", "_")
