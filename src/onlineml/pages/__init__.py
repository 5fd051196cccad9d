"""HTML of reports and notebook cells: `render` fills a template, `markup` a line, `table` is a plain table."""

from onlineml.pages.render import markup, render, table

__all__ = ["markup", "render", "table"]
