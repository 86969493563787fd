# SPDX-License-Identifier: Apache-2.0
"""What a cutover and a rollback would do. The calls are `Migration`'s."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal

from waybill.records import ReferenceAccounts, ReferenceState

__all__ = ["CutoverExample", "CutoverPlan", "Gate", "RollbackPlan", "make_cutover_plan", "make_rollback_plan"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """One condition of a cutover, and what was found.

    Attributes
    ----------
    name : str
        One word that stays: ``"copy"``, ``"items"``, ``"delta"``, ``"failed"``, ``"verified"``, ``"values"``,
        ``"journal"``, ``"references"``, ``"urls"``, ``"rights"``, ``"window"``.
    count : int
        How many are against it, or were looked at.
    evidence : str
        One line, with what to do about it where it is not passed.
    """

    name: str
    is_passed: bool
    count: int
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CutoverExample:
    """A reference, what it holds, and what it would hold.

    Attributes
    ----------
    catalog, record, field : str
        What it is, the fields of `ReferenceId`.
    intended : str
        Empty where it would not be switched; of a rollback, what it held before.
    reason : str
        Why it is in this state; empty where there is nothing to say.
    """

    catalog: str
    record: str
    field: str
    partition: str
    state: ReferenceState
    value: str
    intended: str
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CutoverPlan:
    """What `Migration.cutover` would do. Nothing was changed in the catalog; the ledger keeps it as the newest plan.

    Attributes
    ----------
    hash : str
        Over each reference that would be switched, what it holds and would hold; `Migration.cutover` wants it.
    pass_ : int
        Over the catalog.
    is_ready : bool
        Every gate is passed.
    references : ReferenceAccounts
        By state: `pending` are those that would be switched.
    items : int
        That they point at, as far as neighbours in order share one.
    conditional : {"none", "weak", "exact"}
        How exactly the catalog replaces a value only where it is still the one that was read.
    examples, unswitched : tuple of CutoverExample
        The first 20 that would be switched; the first 1,000 of the others, but those that are switched already.
    """

    hash: str
    pass_: int
    is_ready: bool
    references: ReferenceAccounts
    items: int
    conditional: Literal["none", "weak", "exact"]
    gates: tuple[Gate, ...]
    examples: tuple[CutoverExample, ...]
    unswitched: tuple[CutoverExample, ...]
    json: str = field(repr=False, compare=False)

    def to_json(self) -> str:
        """The plan as a JSON object, one line."""
        return self.json

    def to_dict(self) -> dict[str, Any]:
        """`to_json` parsed."""
        result: dict[str, Any] = json.loads(self.json)
        return result


@dataclass(frozen=True, kw_only=True, slots=True)
class RollbackPlan:
    """What `Migration.rollback` would take back, as the ledger has it: the catalog was not asked.

    Attributes
    ----------
    references : int
        That would be restored where they still hold what we wrote.
    accounts : ReferenceAccounts
        All that the ledger knows.
    examples : tuple of CutoverExample
        The first 1,000: what each holds, and as `intended` what it held before.
    """

    references: int
    accounts: ReferenceAccounts
    examples: tuple[CutoverExample, ...]
    json: str = field(repr=False, compare=False)

    def to_json(self) -> str:
        """The plan as a JSON object, one line."""
        return self.json

    def to_dict(self) -> dict[str, Any]:
        """`to_json` parsed."""
        result: dict[str, Any] = json.loads(self.json)
        return result


def make_cutover_plan(fields: dict[str, Any]) -> CutoverPlan:
    return CutoverPlan(
        **(
            fields
            | {
                "references": ReferenceAccounts(**fields["references"]),
                "gates": tuple(Gate(**gate) for gate in fields["gates"]),
                "examples": _examples(fields["examples"]),
                "unswitched": _examples(fields["unswitched"]),
            }
        )
    )


def make_rollback_plan(fields: dict[str, Any]) -> RollbackPlan:
    parts = {"accounts": ReferenceAccounts(**fields["accounts"]), "examples": _examples(fields["examples"])}
    return RollbackPlan(**(fields | parts))


def _examples(entries: list[dict[str, Any]]) -> tuple[CutoverExample, ...]:
    return tuple(CutoverExample(**entry) for entry in entries)
