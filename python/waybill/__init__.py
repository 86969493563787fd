# SPDX-License-Identifier: Apache-2.0
"""waybill moves millions of objects from one store to another and can prove what happened to every one of them.

>>> import waybill
>>> report = waybill.Migration("/data/photos", "s3://photos/2026", "photos.db").run(progress=True)
>>> for failure in waybill.Tracker("photos.db").failures():
...     print(failure.error_class, waybill.printable(failure.key), failure.message)
"""

from waybill._core import __version__
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
    LockedError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from waybill.migration import Migration, Run
from waybill.options import Options
from waybill.records import (
    Event,
    Failure,
    Finding,
    InFlight,
    Item,
    ItemAccounts,
    LiveState,
    MigrationInfo,
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
from waybill.tracker import Tracker

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "CancelledError",
    "DataLossError",
    "DeadlineExceededError",
    "Error",
    "Event",
    "FailedPreconditionError",
    "Failure",
    "Finding",
    "InFlight",
    "InternalError",
    "InvalidArgumentError",
    "Item",
    "ItemAccounts",
    "LiveState",
    "LockedError",
    "Migration",
    "MigrationInfo",
    "NotFoundError",
    "Options",
    "OutOfRangeError",
    "Owner",
    "PartitionSummary",
    "PermissionDeniedError",
    "Plan",
    "PlanExample",
    "RateSample",
    "RemovalExample",
    "RemovalPlan",
    "RemovalReport",
    "Report",
    "ResourceExhaustedError",
    "Run",
    "RunRecord",
    "RunSummary",
    "Snapshot",
    "Spec",
    "Tracker",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "__version__",
    "printable",
]
