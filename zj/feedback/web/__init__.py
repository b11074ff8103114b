"""The ranking tool in a browser: pages of starlette and jinja2 (extra [annotate])."""
