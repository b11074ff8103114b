"""Pages to read in a browser: one HTML file with inline SVG, without scripts and without anything from elsewhere."""

from zj.pages.page import details, page, section, table

__all__ = ["details", "page", "section", "table"]
