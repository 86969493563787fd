# SPDX-License-Identifier: Apache-2.0
"""Who is asking."""

from __future__ import annotations

import getpass
import os
import socket


def this_user() -> str:
    """Give ``user@host``, as it is recorded with requests and waivers."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"
