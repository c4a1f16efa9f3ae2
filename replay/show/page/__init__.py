"""A report as a page that is read without this program: HTML in one file, or Markdown.

`units` and `view` say what stands on it, `timeline` where the bars go, `markdown` and
`rendering` write it down.  What a reader sees is docs/report.md.  Importing this imports
nothing: `rendering` needs jinja2, the extra `report`.
"""
