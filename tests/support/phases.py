# SPDX-License-Identifier: Apache-2.0
"""The phases of a whole two-phase migration, from the analysis to the rollback of all, over any system of record of crm.py."""

from __future__ import annotations

from collections import Counter

from crm import SESSION, SIGNATURE, TOKEN, USERINFO
from ladder import COPY_EVENTS, ROLLBACK_EVENTS, SWITCH_EVENTS, Ladder, expect_equal
from process import check_accounts


def back_up(ladder: Ladder, kills: int) -> None:
    """Analysis, and the first copy."""
    world = ladder.world
    items = {(one.account, one.url): one.fate for one in world.documents.values() if one.url}
    fates = Counter(items.values())
    (plan,) = ladder.rows("plan", *ladder.copying)
    assert plan["items"] == len(items)
    assert plan["items_in_collisions"] > 0
    ladder.note_values()
    ladder.carried_through(("run", *ladder.copying), ("run", *ladder.limit), COPY_EVENTS, kills, code=3)
    status = ladder.waybill.status()
    check_accounts(status)
    found = {name: status["items"][name] for name in ("done", "failed", "vanished", "excluded")}
    assert found == {
        "done": fates["switched"],
        "failed": fates["unsupported"],
        "vanished": fates["missing"] + fates["permission"],
        "excluded": fates["excluded"],
    }


def change_much(ladder: Ladder, number: int) -> dict[str, int]:
    """So many changes in the system of record: new records, other URLs, other contents behind the same, and no record any
    more; how many of each."""
    world, crm = ladder.world, ladder.crm
    accounts = list(world.accounts)
    few = max(1, number // 10)
    counts = {"new": 3 * few, "moved": 3 * few, "rewritten": 3 * few, "deleted": number - 9 * few}

    def each(nth: int, count: int) -> list[str]:
        """The n-th document of so many accounts."""
        return [world.nth_of(accounts[n % len(accounts)], nth + n // len(accounts)) for n in range(count)]

    new = [world.add(accounts[n % len(accounts)], f"new {n}.pdf") for n in range(counts["new"])]
    moved = [world.move(record) for record in each(0, counts["moved"])]
    for record in each(6, counts["rewritten"]):
        world.rewrite(record)
    deleted = each(12, counts["deleted"])
    for record in deleted:
        world.remove(record)
    world.store(ladder.server.objects("old"))
    crm.insert(new, world.accounts)
    crm.edit({one.record: one.url for one in moved})
    crm.delete(deleted)
    return counts


def get_ready(ladder: Ladder, counts: dict[str, int]) -> str:
    """Everything that stands in the way is told, each thing is done, and the plan is ready; its hash."""
    world, crm = ladder.world, ladder.crm
    n_unsupported = len(world.records("unsupported"))
    switching = ("--catalog", crm.catalog("reader"), *ladder.switching)
    refused = ladder.refused(ladder.planned("readiness", *switching, code=4))
    n_switched = len(world.records("switched"))
    n_news = counts["new"] + counts["moved"]
    denied = {"rights": 1} if crm.has_roles else {}
    expected = {"items": n_unsupported, "delta": n_news, "failed": n_unsupported, "verified": n_switched - n_news}
    assert refused == expected | denied

    ladder.told("run", *ladder.limit, code=3)
    items = ladder.waybill.status()["items"]
    assert (items["new"], items["updated"]) == (n_news, counts["rewritten"]), items
    ladder.told("verify", code=3)  # of what failed there is nothing to compare
    refused = ladder.refused(ladder.planned("readiness", code=4))
    probes = min(100, n_switched)
    assert refused == {"items": n_unsupported, "failed": n_unsupported, "urls": probes} | denied, "nobody may read"

    ladder.told("waive", "--class", "unsupported", "--why", "no file was ever there")
    ladder.publish()
    if crm.has_roles:
        plan = ladder.planned("readiness", code=4)
        assert ladder.refused(plan) == {"rights": 1}, "a role that only reads"
        ladder.told("cutover", "--execute", "--plan", plan["hash"], code=4)
        assert not ladder.switched()

    plan = ladder.planned("readiness", "--catalog", crm.catalog("switcher"), *ladder.switching)
    assert plan["ready"]
    dry = ladder.planned("cutover")
    assert (dry["hash"], dry["references"]["pending"]) == (plan["hash"], n_switched)
    return str(plan["hash"])


def switch(ladder: Ladder, plan: str, kills: int) -> None:
    """A canary, what users do meanwhile, and the rest."""
    world = ladder.world
    expected = world.records("switched")
    execute = ("cutover", "--execute", "--plan", plan)
    ladder.told(*execute, "--canary", "10")
    assert ladder.switched() == expected[:10]
    ladder.check_standing()

    waiting = ladder.draw.sample(expected[10:], 15)
    values = ["", None, "an edit by a user", world.url("somewhere/else.pdf"), world.url("mine.pdf", "private")]
    ladder.edit(dict(zip(waiting[:10], 2 * values, strict=True)))
    ladder.edit({expected[0]: "an edit after the switch"})
    ladder.remove(waiting[10:])
    ladder.carried_through(execute, ("resume",), SWITCH_EVENTS, kills, code=3)
    ladder.check_standing()
    rest = sorted(set(expected) - set(waiting) - {expected[0]})
    assert ladder.switched() == rest
    ladder.check_contents()
    states = Counter(row["state"] for row in ladder.rows("references"))
    assert states["updated"] == len(rest)
    conflicts = {row["record"] for row in ladder.rows("references", "--state", "conflict")}
    assert conflicts == {*waiting[:10], expected[0]}
    references = ladder.waybill.status()["references"]
    assert (references["updated"], references["conflict"]) == (len(rest), 11)


def take_back(ladder: Ladder, kills: int) -> None:
    """One account, what users do meanwhile, and all the rest."""
    world, crm = ladder.world, ladder.crm
    before = crm.urls()
    switched = ladder.switched()
    account = world.documents[switched[len(switched) // 2]].account
    of_account = [record for record in switched if world.documents[record].account == account]
    ladder.told("rollback", "--partition", account)
    assert ladder.switched() == switched
    ladder.told("rollback", "--partition", account, "--execute")
    expected = before | {record: ladder.original[record] for record in of_account}
    expect_equal(crm.urls(), expected, "the rollback of an account")

    left = ladder.switched()
    edited = ladder.draw.sample(left, 10)
    ladder.edit({record: f"{ladder.new}an/edit {n}" for n, record in enumerate(edited)})
    ladder.remove(ladder.draw.sample(sorted(set(left) - set(edited)), 5))
    ladder.carried_through(("rollback", "--execute"), ("resume",), ROLLBACK_EVENTS, kills, code=3)
    ladder.check_standing()
    original = {record: value for record, value in ladder.original.items() if record not in ladder.removed}
    expect_equal(crm.urls(), original | ladder.edited, "the rollback of all")
    conflicts = {row["record"] for row in ladder.rows("references", "--state", "conflict")}
    assert conflicts >= set(edited)


def climb(ladder: Ladder, changes: int, kills: int) -> None:
    back_up(ladder, kills // 3)
    counts = change_much(ladder, changes)
    plan = get_ready(ladder, counts)
    ladder.note_values()
    switch(ladder, plan, kills)
    take_back(ladder, kills)
    assert ladder.waybill.status()["run"]["state"] == "completed_with_differences"


def show_everything(ladder: Ladder) -> None:
    """Every command in every form, over records whose values have secrets."""
    world = ladder.world
    back_up(ladder, kills=0)
    plan = get_ready(ladder, change_much(ladder, 50))
    ladder.note_values()
    ladder.edit({world.records("switched")[0]: f"https://clerk:{USERINFO}@example.com/mine.pdf?token={TOKEN}"})
    ladder.told("cutover", "--execute", "--plan", plan, "--json", "--log-file", "log.jsonl", code=3)
    signed = world.url("mine.pdf", "private") + f"?sig={SIGNATURE}#{SESSION}"
    ladder.edit({ladder.switched()[0]: signed})
    for words in ("rollback", "rollback --json"):
        ladder.told(*words.split())
    ladder.told("rollback", "--execute", "--json", "--log-file", "log.jsonl", code=3)
    ladder.told("run", *ladder.limit, "--json", "--log-file", "log.jsonl", "--trace-http", "trace.txt", code=3)
    ladder.told("verify", "--json", "--log-file", "log.jsonl", code=3)
    looks = "status items failed errors logs history partitions findings references report plan".split()
    for words in [*looks, "errors --last 50", "errors --group-by host", "readiness", "cutover"]:
        ladder.told(*words.split(), code=None)
        if words != "report":
            ladder.told(*words.split(), "--json", code=None)
    for record in ladder.edited:
        ladder.told("references", "--record", record)
        ladder.told("references", "--record", record, "--json")
    for form in "json jsonl csv html md".split():
        ladder.told("report", "--format", form, "--out", f"report.{form}")
    ladder.told("report", "--audit", "audit")
    ladder.told("doctor", "--bundle", "bundle.tar.gz", code=None)
    ladder.told("doctor", "--bundle", "with-keys.tar.gz", "--with-keys", code=None)
