"""Which architectures exist, where they come from, and what was published about them."""

from archbench.catalog.catalog import Catalog, load_catalog
from archbench.catalog.published import PublishedFigure, published_top1
from archbench.catalog.suites import SUITES

__all__ = ["SUITES", "Catalog", "PublishedFigure", "load_catalog", "published_top1"]
