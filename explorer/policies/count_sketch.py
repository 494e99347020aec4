"""Heavy hitters from a count-sketch."""

from __future__ import annotations

from explorer.policies.base import CountingPolicy, Setting
from explorer.sketches import CountSketch


class CountSketchPolicy(CountingPolicy):
    """H2O with its sums in a count-sketch (Charikar et al. 2002): signed cells and their median,
    right on average, wrong to both sides. Light tokens may come out below nothing and leave first.
    """

    name = "count_sketch"
    words = "lowest estimated attention per query"

    def make_sketch(self, setting: Setting) -> CountSketch:
        return CountSketch(
            setting.sketch_width,
            setting.sketch_depth,
            layers=setting.num_layers,
            decay=setting.decay,
            seed=setting.seed,
            device=setting.device,
        )
