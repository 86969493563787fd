# SPDX-License-Identifier: Apache-2.0
"""``python -m waybill``: the command line."""

from waybill.cli import main

if __name__ == "__main__":
    main()
