# SPDX-License-Identifier: Apache-2.0
"""Migration: what moves, from where to where, and in which ledger."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from waybill import _core
from waybill.catalogs import Catalog, core_catalog
from waybill.connectors import is_of_database, open_catalog, open_destination, open_source
from waybill.cutover import CutoverPlan, RollbackPlan, make_cutover_plan, make_rollback_plan
from waybill.errors import InvalidArgumentError, NotFoundError
from waybill.options import LedgerFormat, Options, VerifyLevel
from waybill.plans import ImportReport, Plan, RemovalPlan, RemovalReport, make_plan, make_removal_plan
from waybill.reader import LedgerReader
from waybill.records import Report
from waybill.run import SLICE_MS, Progress, Run, followed, started
from waybill.stores import (
    DESTINATION_WANTED,
    SOURCE_WANTED,
    Destination,
    PathOrUrl,
    Source,
    Transform,
    core_destination,
    core_source,
    place_of,
)
from waybill.tracker import Tracker, engine_ledger
from waybill.user import this_user

__all__ = ["Migration"]

_DAY_MS = 24 * 3600 * 1000


class Migration(LedgerReader):
    """What moves, from where to where, and in which ledger.

    Parameters
    ----------
    source, destination : str, path, Source or Destination
        A path, ``file:///path``, ``s3://bucket/prefix?endpoint=…&region=…&profile=…`` or ``memory://name``; or a store of
        your own (`waybill.Source`, `waybill.Destination`). The URL of a catalog as source moves what its references point
        at (`waybill.open_catalog_source`).
    tracker : str, path or Tracker
        The ledger: a path, made at the first run, ``sqlite:///path``, or ``memory:`` for one that dies with the
        process; or a `Tracker` that may write, or one of your own. One ledger is one migration.
    name : str, optional
        A name for people.
    transform : Transform, optional
        Changes the bytes of items on their way. It belongs to the migration's identity.
    key_template : str, optional
        Where items go: text with fields in braces, ``"uploads/{partition}/{partition_name|slug}/{name}"`` (docs/keys.md). It
        belongs to the migration's identity, and is the ledger's where it is not given: it has to be said once. Default:
        each item goes to its own key.
    catalog : str or Catalog, optional
        The system of record whose references `cutover` switches: a URL (`waybill.open_catalog`), or one of your own.
    options : Options, optional
        How the runs of this migration go about their work.

    Raises
    ------
    InvalidArgumentError
        An unknown scheme, or an unknown or wrong parameter of a URL; no template: the place and the nearest field or
        filter are named.

    Examples
    --------
    >>> report = waybill.Migration("/data/photos", "s3://photos/2026", "photos.db").run(progress=True)
    >>> report.state
    'completed'
    """

    def __init__(
        self,
        source: PathOrUrl | Source,
        destination: PathOrUrl | Destination,
        tracker: PathOrUrl | Tracker = "waybill.db",
        *,
        name: str | None = None,
        transform: Transform | None = None,
        key_template: str | None = None,
        catalog: str | Catalog | None = None,
        options: Options | None = None,
    ) -> None:
        ledger = engine_ledger(tracker)
        self._own_ledger = tracker if isinstance(tracker, Tracker) else None
        self._tracker = tracker.path if isinstance(tracker, Tracker) else os.fsdecode(tracker)
        is_given = isinstance(source, Source) or isinstance(destination, Destination)
        if is_given or (isinstance(source, str) and is_of_database(source)):
            from_store = source if isinstance(source, Source) else open_source(source)
            to_store = destination if isinstance(destination, Destination) else open_destination(destination)
            self._core = _core.Migration(core_source(from_store), core_destination(to_store), ledger)
            self._places = (from_store.identity(), to_store.identity())
            if not is_given:
                self._core.set_urls(place_of(source, "source", ""), place_of(destination, "destination", ""))
        else:
            places = place_of(source, "source", SOURCE_WANTED), place_of(destination, "destination", DESTINATION_WANTED)
            self._core = _core.Migration(*places, ledger)
            self._places = (os.fsdecode(places[0]), os.fsdecode(places[1]))
        self._source = source
        self._options = (options or Options())._to_core()
        if name is not None:
            self._core.set_name(name)
        self._key_template = key_template
        if key_template is not None:
            self._core.set_key_template(key_template)
        if transform is not None:
            self._core.set_transform(_core.adapt_transform(transform))
        self._catalog = open_catalog(catalog) if isinstance(catalog, str) else catalog
        if self._catalog is not None:
            self._core.set_catalog(core_catalog(self._catalog), catalog if isinstance(catalog, str) else "")

    def start(self) -> Run:
        """Begin a copy, or carry on with the one that did not end.

        Returns once the ledger is ours and both stores were checked.

        Raises
        ------
        InvalidArgumentError, NotFoundError, PermissionDeniedError, UnauthenticatedError, UnavailableError
            One of the stores cannot be used; nothing was moved or recorded.
        LockedError
            Another process owns the ledger (it is named), or the migration is paused (see `Options.resume_paused`).
        Error
            With ``error_class`` ``"tracker"``: the ledger cannot be used.
        """
        return started(self._core.start(self._options))

    def run(self, progress: Progress = None) -> Report:
        """`start`, and wait for the end.

        Parameters
        ----------
        progress : bool or callable, optional
            True shows progress on stderr, or in a notebook's cell. A callable is given a `Snapshot` about twice a
            second and once at the end, in the calling thread: however slow it is, it slows no transfer. If it raises,
            the run ends ``"failed"`` (Ctrl-C interrupts it), and the exception goes on to the caller.

        Raises
        ------
        KeyboardInterrupt
            After Ctrl-C, when the run has drained; running again carries on.
        Error
            As `start`. An item that fails raises nothing: see `Report.exit_code` and `Tracker.failures`.
        """
        return followed(self.start, progress)

    def start_verify(self, level: VerifyLevel = "checksum") -> Run:
        """Begin a verify run: the source's listing against the ledger against the destination's listing.

        Parameters
        ----------
        level : {"checksum", "listing", "content"}
            Whether digests of what is stored are compared too, or presence, sizes and stamps alone, or what is stored
            is read back whatever the store tells of it (see `Options.sample_of`).

        Raises
        ------
        LockedError
            Not ready: the copy did not come to its end, or another process owns the ledger.
        NotFoundError
            There is no such ledger: nothing has been copied yet.
        Error
            As `start`.
        """
        return started(self._core.start_verify(level, self._options))

    def verify(self, level: VerifyLevel = "checksum", progress: Progress = None) -> Report:
        """`start_verify`, and wait for the end. `Tracker.findings` lists the differences; errors as there."""
        return followed(lambda: self.start_verify(level), progress)

    def plan_cutover(
        self,
        url_template: str,
        *,
        partitions: Iterable[str] = (),
        records: Iterable[str] = (),
        max_verified_age_ms: int = 7 * _DAY_MS,
        probes: int = 100,
        probe_as: str = "anonymous",
        accept_window: bool = False,
    ) -> CutoverPlan:
        """List the catalog, and write down in the ledger what a cutover would do, as the newest plan. Nothing is changed in
        the catalog.

        Parameters
        ----------
        url_template : str
            What a reference is to hold, made of its item: text with fields in braces, percent-encoded as a URL's path is.
            ``{destination_key}`` is where the item was copied to.
        partitions, records : sequence of str, optional
            Only references of these. Empty: all.
        max_verified_age_ms : int, optional
            An item has to have been verified within this time; 0: no matter when.
        probes : int, optional
            How many of the new values, drawn at random, are asked for; 0: none; as many as there are, or more: all.
        probe_as : str, optional
            Whom they have to answer to, as to the people who will use them: ``"anonymous"``; ``"profile:NAME"``, of
            ``s3://`` values, this profile of the shared files; ``"header:env:NAME"``, of ``https://`` values, whoever sends
            the header that the environment variable ``NAME`` holds, whole (``Authorization: Bearer …``). Never our own
            credentials.
        accept_window : bool, optional
            Of a catalog that cannot replace a value only where it is still the one that was read: accept that an edit in
            between is lost.

        Raises
        ------
        InvalidArgumentError, FailedPreconditionError
            There is no catalog; the template is none.
        NotFoundError, PermissionDeniedError, UnauthenticatedError, UnavailableError
            The catalog or the source cannot be used.
        LockedError
            Nothing was copied; a run is under way, or did not come to its end.
        """
        job = self._core.plan_cutover(
            {
                "url_template": url_template,
                "partitions": list(partitions),
                "records": list(records),
                "max_verified_age_ms": max_verified_age_ms,
                "probes": probes,
                "probe_as": probe_as,
                "accept_window": accept_window,
            }
        )
        while not job.wait(SLICE_MS):
            pass
        return make_cutover_plan(job.take())

    def start_cutover(
        self,
        plan: CutoverPlan | str,
        *,
        canary: int = 0,
        max_plan_age_ms: int = _DAY_MS,
        accept_window: bool = False,
    ) -> Run:
        """Begin to switch exactly what a plan says, or carry on with that.

        Every old value is on disk before it is replaced; it is replaced only where it is still what the plan saw, and read
        back. What somebody has changed since is a conflict, and stays.

        Parameters
        ----------
        plan : CutoverPlan or str
            Or its hash. It has to be the newest.
        canary : int, optional
            At most this many references are switched; the same plan then goes on with the rest. 0: all.
        max_plan_age_ms : int, optional
            An older plan is refused.

        Raises
        ------
        LockedError
            The plan is not the newest, or too old; a gate refused it; something was copied or verified since; another
            process owns the ledger.
        Error
            As `plan_cutover`.
        """
        return started(self._cutover_job(plan, canary, max_plan_age_ms, accept_window))

    def _cutover_job(
        self, plan: CutoverPlan | str, canary: int, max_plan_age_ms: int, accept_window: bool
    ) -> _core.StartJob:
        wanted = plan if isinstance(plan, str) else plan.hash
        asked = {"canary": canary, "max_plan_age_ms": max_plan_age_ms, "accept_window": accept_window}
        return self._core.start_cutover(wanted, asked, self._options)

    def cutover(
        self,
        plan: CutoverPlan | str,
        progress: Progress = None,
        *,
        canary: int = 0,
        max_plan_age_ms: int = _DAY_MS,
        accept_window: bool = False,
    ) -> Report:
        """`start_cutover`, and wait for the end as `run` does. `Tracker.references` lists what became of each."""
        return followed(
            lambda: self.start_cutover(
                plan, canary=canary, max_plan_age_ms=max_plan_age_ms, accept_window=accept_window
            ),
            progress,
        )

    def plan_rollback(
        self, *, partitions: Iterable[str] = (), run: int = 0, records: Iterable[str] = ()
    ) -> RollbackPlan:
        """What `rollback` would take back, as the ledger has it: the catalog is not asked.

        Parameters
        ----------
        partitions, records : sequence of str, optional
            Only references of these. Empty: all.
        run : int, optional
            Only references that this cutover run switched. 0: all.
        """
        job = self._core.plan_rollback({"partitions": list(partitions), "run": run, "records": list(records)})
        while not job.wait(SLICE_MS):
            pass
        return make_rollback_plan(job.take())

    def start_rollback(
        self,
        *,
        partitions: Iterable[str] = (),
        run: int = 0,
        records: Iterable[str] = (),
        accept_window: bool = False,
    ) -> Run:
        """Begin to set references back to their old values, or carry on with that.

        Each only where it still holds what was seen after we had written it; else it is a conflict, and stays. What it
        takes back is selected as by `plan_rollback`.

        Raises
        ------
        LockedError
            Nothing of it was switched; another run did not come to its end; another process owns the ledger.
        Error
            As `plan_cutover`.
        """
        return started(self._rollback_job(partitions, run, records, accept_window))

    def _rollback_job(
        self, partitions: Iterable[str], run: int, records: Iterable[str], accept_window: bool
    ) -> _core.StartJob:
        asked = {
            "partitions": list(partitions),
            "run": run,
            "records": list(records),
            "accept_window": accept_window,
        }
        return self._core.start_rollback(asked, self._options)

    def rollback(
        self,
        progress: Progress = None,
        *,
        partitions: Iterable[str] = (),
        run: int = 0,
        records: Iterable[str] = (),
        accept_window: bool = False,
    ) -> Report:
        """`start_rollback`, and wait for the end as `run` does. `Tracker.references` lists what became of each."""
        return followed(
            lambda: self.start_rollback(partitions=partitions, run=run, records=records, accept_window=accept_window),
            progress,
        )

    def waive(self, why: str, *, who: str | None = None) -> int:
        """Waive failed and vanished items, which then count as neither failed nor done.

        Which ones, `Options.keys` with `partitions`, or else `partitions` and `error_classes` with `failed_only` say;
        with none of them, all. Who did it, why and when is kept with each item and as an audit event.

        Parameters
        ----------
        why : str
            The reason, not empty.
        who : str, optional
            ``user@host`` of this process by default.

        Returns
        -------
        int
            How many were waived; those that were already, are done, or pending are none of them.

        Raises
        ------
        LockedError
            A run is under way.
        InvalidArgumentError
            No reason, or the ledger is of another migration.
        NotFoundError
            The ledger is not there, or has no item of one of the keys; nothing was waived.
        """
        return self._core.waive(self._options, this_user() if who is None else who, why)

    def import_ledger(self, file: PathOrUrl, format: LedgerFormat = "auto", *, who: str | None = None) -> ImportReport:
        """Take over what the ledger of an earlier tool says, so that a half-done migration can be carried on by `run`.

        What it says to be copied is a claim: an item becomes copied only if the destination shows an object of its size. Where
        each item came from is kept in audit events. The same file again changes nothing; one that has gone on adds what
        is new, and what a run has met stays as it is. What it says to be switched is taken over where this migration has
        a catalog, and that shows it: then `rollback` takes it back. Docs: docs/import.md.

        Parameters
        ----------
        file : str or path
            The ledger. It is read, never written.
        format : {"auto", "s1", "s4", "s4-json"}
            The SQLite database of the two-phase Salesforce file migration; that of the S3 migration tool; its JSON.
        who : str, optional
            ``user@host`` of this process by default.

        Raises
        ------
        InvalidArgumentError
            It is no such ledger (the table or column that it lacks is named), or about other places.
        FailedPreconditionError
            It is truncated or damaged; or the catalog has no reference, or none of the records that were switched.
        LockedError
            It is being written, or a run of this migration is under way.
        """
        from waybill.importing import import_ledger  # noqa: PLC0415 (few need sqlite3)

        path = Path(os.fsdecode(file))
        ledger = Path(self._tracker.removeprefix("sqlite://"))
        if self._tracker and path.exists() and ledger.exists() and path.samefile(ledger):
            raise InvalidArgumentError(
                f"{path} is the ledger of this migration itself", code="invalid_argument", error_class="configuration"
            )
        return import_ledger(
            self._core,
            path,
            format,
            who=this_user() if who is None else who,
            source=self._source,
            places=self._places,
            has_key_template=self._has_key_template(),
            catalog=self._catalog,
        )

    def _has_key_template(self) -> bool:
        """Whether destination keys are made by a template, said here or kept by the ledger."""
        if self._key_template is not None:
            return True
        try:
            with self._reading() as ledger:
                fields = ledger.migration()
        except NotFoundError:
            return False
        return fields is not None and "keys=same" not in fields["fingerprint"].split("\n")

    def plan_removal(
        self, kind: Literal["extra", "source"], *, max_items: int = 1000, max_share: float = 0.1
    ) -> RemovalPlan:
        """What `remove` would delete. Deletes nothing.

        Parameters
        ----------
        kind : {"extra", "source"}
            At the destination, objects that neither the source nor the ledger knows; or at the source, items whose content
            was read back at the destination and is the same.
        max_items, max_share : int and float, optional
            If more extra objects than this, or than this share of the destination's objects, would be deleted, none is.

        Raises
        ------
        LockedError
            No ground to delete on. For extra objects: a verify run at its end, nothing run since, and a source that
            has anything at all. For the source: verify runs at level content since the last copy.
        Error
            As `start`.
        """
        job = self._core.plan_removal(kind, max_items, max_share)
        while not job.wait(SLICE_MS):
            pass
        return make_removal_plan(job.take())

    def remove(
        self,
        kind: Literal["extra", "source"],
        plan: RemovalPlan | str,
        *,
        max_items: int = 1000,
        max_share: float = 0.1,
        who: str | None = None,
    ) -> RemovalReport:
        """Delete what a plan says.

        Both stores are asked about each item once more: what is not as it was verified is kept. Each deletion is on disk as
        an audit event before it happens.

        Parameters
        ----------
        plan : RemovalPlan or str
            Of the same kind, or its hash; what would be deleted must not have changed since.
        who : str, optional
            ``user@host`` of this process by default.

        Raises
        ------
        LockedError
            As `plan_removal`; the plan is another one by now; more than `max_items` or `max_share` allow.
        PermissionDeniedError
            Nothing of what was tried first could be deleted.
        KeyboardInterrupt
            After Ctrl-C, when the deletions under way have ended.
        """
        wanted = plan if isinstance(plan, str) else plan.hash
        job = self._core.remove(kind, max_items, max_share, wanted, this_user() if who is None else who)
        try:
            while not job.wait(SLICE_MS):
                pass
        except KeyboardInterrupt:
            job.stop()
            while not job.wait(SLICE_MS):
                pass
            raise
        return RemovalReport(**job.take())

    def plan(self) -> Plan:
        """What a copy would do. Records nothing and moves nothing; the ledger need not exist and is not made.

        Raises
        ------
        Error
            As `start`.
        """
        job = self._core.plan(self._options)
        while not job.wait(SLICE_MS):
            pass
        return make_plan(job.take())

    @contextmanager
    def _reading(self) -> Iterator[_core.Tracker]:
        if self._own_ledger is not None:
            with self._own_ledger._reading() as core:
                yield core
            return
        # A file is opened anew, to be read beside whoever writes it; what is in memory there is but once.
        in_memory = self._tracker == "memory:"
        ledger = self._core.tracker() if in_memory else _core.Tracker(os.fsencode(self._tracker), True)
        try:
            yield ledger
        finally:
            ledger.close()
