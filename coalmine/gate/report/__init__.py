"""The report of a release: one HTML file that needs no network and no script.

The charts are drawn here, as SVG that takes its colours from the page, so that they follow a light
or a dark screen. Chart libraries bring scripts, fonts or megabytes, or cannot do that.
"""
