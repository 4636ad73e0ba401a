"""Settings, secrets and addresses: where things are and how to be let in, fetched late and never shown."""

from dvengine.config._secrets import Secret
from dvengine.config._settings import CatalogSettings, Settings, SourceSettings, StoreSettings, load_settings
from dvengine.config._urls import Url, local_path

__all__ = [
    "CatalogSettings",
    "Secret",
    "Settings",
    "SourceSettings",
    "StoreSettings",
    "Url",
    "load_settings",
    "local_path",
]
