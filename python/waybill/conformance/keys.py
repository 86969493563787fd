# SPDX-License-Identifier: Apache-2.0
"""Keys that stores get wrong; the same as in the suite for C++."""

from __future__ import annotations

__all__ = ["awkward_keys", "hostile_keys"]


def awkward_keys() -> list[bytes]:
    """Keys whose bytewise order differs from every other order, and names that stores get wrong: spaces, ``+``, ``%``,
    quotes, newline, emoji, bytes that are no UTF-8, a component of 255 bytes, depth. None is a folder of another one."""
    return [
        b"!first",
        b"a!",
        b"a-b",
        b"a.txt",
        b"a/b",
        b"a/b-c",
        b"a/b.d/e",
        b"a0",
        b"aa",
        b"A",
        b"Z/z",
        b"_",
        b"~last",
        b"with space",
        b" leading and trailing ",
        b"plus+plus",
        b"percent%41%2F%",
        b"quote\"and'quote",
        b"a=b&c=d?e#f",
        b"back\\slash",
        b"<xml>&amp;",
        b"colon:semi;comma,",
        b"[glob]*?{x}",
        b"new\nline",
        b"carriage\rreturn",
        b"tab\tdelete\x7f",
        b"control\x01\x1f",
        "\u00e9t\u00e9".encode(),  # composed
        "e\u0301te\u0301".encode(),  # the same, decomposed: another key
        "\U0001f69a/\u2713".encode(),
        b"not\xff\xfeutf8",
        b"-dash",
        b"--option=value",
        b".hidden",
        b"..two",
        b"three...",
        b"n" * 255,
        b"\xc3" * 127 + b"x",
        b"d1/d2/d3/d4/d5/d6/d7/d8/d9/d10/d11/d12/d13/d14/d15/d16/deep",
        b"x/" + b"p" * 200 + b"/" + b"q" * 200 + b"/" + b"r" * 200,
    ]


def hostile_keys() -> list[bytes]:
    """Keys that try to leave the store, or that look like another key. For each, refusing it and holding it verbatim are
    right."""
    return [
        b"../up",
        b"../../etc/up",
        b"a/../../up",
        b"a/..",
        b"..",
        b".",
        b"./a",
        b"a/./b",
        b"a//b",
        b"/absolute",
        b"//double",
        b"",
        b"a/b/..",
        b"n\0ul",
        b"/",
        b"dir/../sibling",
        b"a/b/../../../up",
        b"c" * 300,
        b"k" * 5000,
    ]
