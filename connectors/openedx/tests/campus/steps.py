"""A step of another plugin."""

from openedx_filters.filters import PipelineStep


class AddsAQuery(PipelineStep):
    def run_filter(self, url):
        return {"url": f"{url}?other=1"}
