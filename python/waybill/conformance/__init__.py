# SPDX-License-Identifier: Apache-2.0
"""The conformance suite: what every `waybill.Source`, `Destination`, `Transform`, `Catalog` and `Tracker` has to keep, as pytest
cases.

Inherit the suite in a test file of your own and give it a fixture ``store``: a `SourceFixture`, `DestinationFixture`,
`TransformFixture`, `CatalogFixture` or `TrackerFixture`, which makes an empty store and puts content into it, or looks at it, by other means than
what is tested::

    from waybill.conformance import SourceConformance, SourceFixture

    class TestMySource(SourceConformance):
        @pytest.fixture
        def store(self, tmp_path):
            return MyFixture(tmp_path)

The store is called through the adapter that a run calls it through, from threads of waybill's. What it says that it cannot do
(its capabilities) or hold (``can_hold``) is skipped; what is left out within a case is in the summary at the end of the run.

The cases are those of the suite for stores in C++ (tests/conformance), under the same names. What Python stores do not have
is not among them: locators, copies inside a store, and pages that a later process resumes from.
"""

from waybill.conformance.catalog import CatalogConformance
from waybill.conformance.destination import DestinationConformance
from waybill.conformance.fixtures import (
    AttributesKept,
    CatalogFixture,
    DestinationFixture,
    SourceFixture,
    TrackerFixture,
    TransformFixture,
)
from waybill.conformance.keys import awkward_keys, hostile_keys
from waybill.conformance.source import SourceConformance
from waybill.conformance.tracker import TrackerConformance
from waybill.conformance.transform import TransformConformance

__all__ = [
    "AttributesKept",
    "CatalogConformance",
    "CatalogFixture",
    "DestinationConformance",
    "DestinationFixture",
    "SourceConformance",
    "SourceFixture",
    "TrackerConformance",
    "TrackerFixture",
    "TransformConformance",
    "TransformFixture",
    "awkward_keys",
    "hostile_keys",
]
