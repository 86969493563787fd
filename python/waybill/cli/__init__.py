# SPDX-License-Identifier: Apache-2.0
"""The command line ``waybill``: thin over the public API of the package."""

from waybill.cli.app import main

__all__ = ["main"]
