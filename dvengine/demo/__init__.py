"""A synthetic registry to try things on: drawn from a seed, about nobody, served by a PostgreSQL of its own."""

from dvengine.demo._fasit import Fasit
from dvengine.demo._load import Registry, prepare
from dvengine.demo._regions import fylker_geojson, kapitler, kommuner
from dvengine.demo._registry import Dials, draw

__all__ = ["Dials", "Fasit", "Registry", "draw", "fylker_geojson", "kapitler", "kommuner", "prepare"]
