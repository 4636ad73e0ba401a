"""Data packages: put together, staged, opened and verified. `dvengine.publish` commits them."""

from dvengine.package._model import DataPackage
from dvengine.package._open import OpenedPackage, open_package
from dvengine.package._verify import Verification, verify

__all__ = ["DataPackage", "OpenedPackage", "Verification", "open_package", "verify"]
