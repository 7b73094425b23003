"""Connections of our own to the servers: for the catalogue, and for whatever else asks with its own words.

They are counted and shown, never part of ``pool_size``, and none is opened before it is needed.
"""

from __future__ import annotations

from pooler.helpers.catalogue import Catalogue, CatalogueSettings, CatalogueStats
from pooler.helpers.catalogues import Catalogues
from pooler.helpers.connection import HelperConnection
from pooler.helpers.helper import Helper, HelperSettings, HelperState, HelperStats

__all__ = [
    "Catalogue",
    "CatalogueSettings",
    "CatalogueStats",
    "Catalogues",
    "Helper",
    "HelperConnection",
    "HelperSettings",
    "HelperState",
    "HelperStats",
]
