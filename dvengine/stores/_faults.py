"""The one boundary where a store's errors become ours: the class, the key and a hint; never the server's text.

What object stores say in an error holds addresses, request ids and at times signatures, so that it is only looked at
for a status, a code or an errno, and then dropped.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore import exceptions as obs

from dvengine._errors import (
    AccessDenied,
    AlreadyExists,
    Conflict,
    DvengineError,
    InputError,
    NotFound,
    NotSupported,
    Unavailable,
)

__all__ = ["boundary", "translate"]

_STATUS = re.compile(r"status code: (\d{3})")
_CODE = re.compile(r"<Code>(\w{1,64})</Code>")
_ERRNO = re.compile(r"os error (\d+)")


@contextmanager
def boundary(store: str, verb: str, path: str) -> Iterator[None]:
    """Run a call into the object store library; whatever it raises leaves as one of ours, without its text."""
    try:
        yield
    except DvengineError:
        raise
    except (obs.BaseError, OSError, ValueError) as error:
        raise translate(error, store, verb, path) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise Unavailable(f"cannot {verb} {path!r} in {store}: the store library failed") from None


def translate(error: BaseException, store: str, verb: str, path: str) -> DvengineError:
    """Build our error for one of the library's or the operating system's."""
    text = str(error)
    subject = f"cannot {verb} {path!r} in {store}"
    status = int(m[1]) if (m := _STATUS.search(text)) else None
    code = m[1] if (m := _CODE.search(text)) else None
    if isinstance(error, obs.AlreadyExistsError):
        return AlreadyExists(f"{path!r} is already there in {store}")
    if code in ("NoSuchBucket", "ContainerNotFound") or (status == 404 and verb == "list"):
        return NotFound(f"{subject}: the bucket is not there", hint="create it, or check the store's URL")
    number = getattr(error, "errno", None) or (int(m[1]) if (m := _ERRNO.search(text)) else None)
    if isinstance(error, FileNotFoundError) or status == 404:
        return NotFound(f"{path!r} is not there in {store}")
    if (
        isinstance(error, obs.PermissionDeniedError | obs.UnauthenticatedError | PermissionError)
        or status in (401, 403)
        or code in ("ExpiredToken", "InvalidToken", "TokenRefreshRequired")
    ):
        return AccessDenied(f"{subject}: {_denied(code)}", hint=_denied_hint(code))
    if number is not None:
        if number in (errno.ENOTDIR, errno.EISDIR) and verb in ("read", "delete"):
            return NotFound(f"{path!r} is not there in {store}")
        return _from_errno(number, subject)
    if isinstance(error, obs.NotSupportedError):
        return NotSupported(f"{subject}: this store cannot do that")
    if isinstance(error, obs.PreconditionError) or status in (409, 412):
        return Conflict(f"{subject}: another writer changed it", retryable=True)
    if "nvalidRange" in text or "nvalid range" in text or status == 416:
        return InputError(f"{subject}: the range lies outside the object")
    if "builder error" in text:
        return InputError(
            f"{subject}: the endpoint cannot be used",
            hint="an endpoint begins with https://; plain http needs allow_http = true",
        )
    if isinstance(error, obs.InvalidPathError | ValueError):
        return InputError(f"{subject}: the name is not valid there")
    if status is not None and 400 <= status < 500 and status not in (408, 429):
        return InputError(
            f"{subject}: the store refused the request (HTTP {status}{f', {code}' if code else ''})"
        )
    if status is not None:
        return Unavailable(f"{subject}: the store answered HTTP {status}{f', {code}' if code else ''}")
    return Unavailable(
        f"{subject}: the store does not answer", hint="check the endpoint, the network and that it is up"
    )


def _denied(code: str | None) -> str:
    return {
        "InvalidAccessKeyId": "the access key is not known there",
        "SignatureDoesNotMatch": "the secret key does not fit the access key",
        "ExpiredToken": "the session token has expired",
        "InvalidToken": "the session token is not valid",
        "RequestTimeTooSkewed": "this machine's clock is wrong",
    }.get(code or "", "access denied")


def _denied_hint(code: str | None) -> str:
    if code == "RequestTimeTooSkewed":
        return "synchronise the clock"
    return "check the store's credentials and what they allow; `dvengine doctor` shows where they come from"


def _from_errno(number: int, subject: str) -> DvengineError:
    if number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return Unavailable(
            f"{subject}: no room left in the target",
            hint="free space there, or write elsewhere",
            retryable=False,
        )
    if number in (errno.EACCES, errno.EPERM, errno.EROFS):
        return AccessDenied(
            f"{subject}: the target is read-only or not yours", hint="write to a folder that you may change"
        )
    if number in (errno.ENOTDIR, errno.EISDIR, errno.ENOTEMPTY, errno.EEXIST):
        return Conflict(
            f"{subject}: a file stands where a folder is needed, or the other way",
            hint="choose a target of its own",
        )
    if number in (errno.ENAMETOOLONG, errno.EINVAL, errno.ELOOP):
        return InputError(f"{subject}: the name is not valid there")
    if number == errno.ENOENT:
        return NotFound(f"{subject}: the folder is not there and cannot be made")
    return Unavailable(f"{subject}: {errno.errorcode.get(number, 'input/output error')}")
