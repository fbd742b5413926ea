"""The page as a Hugging Face Space: anybody may look and explore. Nobody can train, and no real image is there."""

from pathlib import Path

from cxrgan.web.server import serve

runs = Path("runs")
runs.mkdir(exist_ok=True)
serve(runs, (), host="0.0.0.0", port=7860, token=None, visitors=True, ready=print)
