# SPDX-License-Identifier: Apache-2.0
"""waybill moves millions of objects from one store to another and can prove what happened to every one of them.

>>> import waybill
>>> report = waybill.Migration("/data/photos", "s3://photos/2026", "photos.db").run(progress=True)
>>> for failure in waybill.Tracker("photos.db").failures():
...     print(failure.error_class, waybill.printable(failure.key), failure.message)
"""

from importlib import import_module
from typing import TYPE_CHECKING

from waybill._core import __version__
from waybill.doctor import Diagnosis, diagnose, write_bundle
from waybill.errors import (
    AbortedError,
    AlreadyExistsError,
    CancelledError,
    DataLossError,
    DeadlineExceededError,
    Error,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    InvalidTypeError,
    LockedError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from waybill.frames import Records
from waybill.maintenance import (
    LedgerBackup,
    LedgerCheck,
    LedgerVacuum,
    RecoveredTable,
    Recovery,
    backup_ledger,
    check_ledger,
    prune_events,
    recover_ledger,
    vacuum_ledger,
)
from waybill.migration import Migration, Run
from waybill.options import Options
from waybill.records import (
    Event,
    Failure,
    Finding,
    ImportReport,
    InFlight,
    ItemAccounts,
    ItemRecord,
    ItemResult,
    LiveState,
    MigrationInfo,
    Outcome,
    Owner,
    PartitionSummary,
    Plan,
    PlanExample,
    RateSample,
    RemovalExample,
    RemovalPlan,
    RemovalReport,
    Report,
    RunRecord,
    RunSummary,
    Snapshot,
    printable,
)
from waybill.spec import Spec
from waybill.stores import (
    Attributes,
    Body,
    Condition,
    Context,
    Destination,
    DestinationCapabilities,
    InputStream,
    Item,
    ItemId,
    ListRequest,
    OpenUpload,
    PartInfo,
    PartPlan,
    PartUpload,
    ReadResult,
    Source,
    SourceCapabilities,
    SourceStamp,
    Stored,
    StreamResult,
    Transform,
    WriteOptions,
    open_destination,
    open_source,
)
from waybill.trace import trace_http
from waybill.tracker import Tracker
from waybill.tracking import TrackedItem, TrackedRun, track

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "Attributes",
    "Body",
    "CancelledError",
    "Condition",
    "Context",
    "DataLossError",
    "DeadlineExceededError",
    "Destination",
    "DestinationCapabilities",
    "Diagnosis",
    "Error",
    "Event",
    "FailedPreconditionError",
    "Failure",
    "Finding",
    "ImportReport",
    "InFlight",
    "InputStream",
    "InternalError",
    "InvalidArgumentError",
    "InvalidTypeError",
    "Item",
    "ItemAccounts",
    "ItemId",
    "ItemRecord",
    "ItemResult",
    "LedgerBackup",
    "LedgerCheck",
    "LedgerVacuum",
    "ListRequest",
    "LiveState",
    "LockedError",
    "Migration",
    "MigrationInfo",
    "NotFoundError",
    "OpenUpload",
    "Options",
    "OutOfRangeError",
    "Outcome",
    "Owner",
    "PartInfo",
    "PartPlan",
    "PartUpload",
    "PartitionSummary",
    "PermissionDeniedError",
    "Plan",
    "PlanExample",
    "RateSample",
    "ReadResult",
    "Records",
    "RecoveredTable",
    "Recovery",
    "RemovalExample",
    "RemovalPlan",
    "RemovalReport",
    "Report",
    "ResourceExhaustedError",
    "Run",
    "RunRecord",
    "RunSummary",
    "Snapshot",
    "Source",
    "SourceCapabilities",
    "SourceStamp",
    "Spec",
    "Stored",
    "StreamResult",
    "TrackedItem",
    "TrackedRun",
    "Tracker",
    "Transform",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "WriteOptions",
    "__version__",
    "backup_ledger",
    "check_ledger",
    "diagnose",
    "open_destination",
    "open_source",
    "printable",
    "prune_events",
    "recover_ledger",
    "trace_http",
    "track",
    "vacuum_ledger",
    "write_bundle",
]


if TYPE_CHECKING:
    from waybill import aio as aio
    from waybill import charts as charts
else:

    def __getattr__(name: str) -> object:
        # Few need asyncio, and fewer matplotlib: loaded by their first use.
        if name in ("aio", "charts"):
            return import_module(f"waybill.{name}")
        raise AttributeError(f"module 'waybill' has no attribute {name!r}")
