"""What the errors of Esri's package say. Only the standard library."""

from __future__ import annotations

import re

#: The package's advice to switch the verification of certificates off.
_ADVICE = re.compile(
    r"Please set verify_cert=False due to encountered SSL error: |If you trust this server[^.]*verify_cert=False[^.]*\.?"
)

#: The end of the text of an error of the portal.
_CODE = re.compile(r"\(Error Code: (\d+)\)$")

#: Error codes of requests after which trying again later may help.
_TRANSIENT = (408, 429)


def said(error: BaseException) -> str:
    """The text of an error on one line, without the advice."""
    text = _ADVICE.sub("", str(error))
    text = " ".join("".join(one if one.isprintable() else " " for one in text).split())
    # By itself, the text of a `KeyError` is the key.
    is_named = type(error) is not Exception and type(error).__module__ == "builtins"
    return ": ".join(filter(None, [type(error).__name__, text])) if is_named or not text else text


def is_refusal(text: str) -> bool:
    """Whether the text has an error code of the portal after which trying again does not help."""
    found = _CODE.search(text)
    return found is not None and 400 <= int(found[1]) < 500 and int(found[1]) not in _TRANSIENT
