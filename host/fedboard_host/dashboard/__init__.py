"""The run as a web page, live or afterwards, and the same as one file.

feed       what a run's folder tells: rounds, boards, events (read only, from any process)
fragments  that as HTML and SVG; what a board or a person said is always escaped
app        the page, its server-sent events and its buttons: starlette, see dashboard_cli
page       the page's frame, its style and its script: all served from here, no CDN
"""
