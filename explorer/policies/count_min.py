"""Heavy hitters from a count-min sketch."""

from __future__ import annotations

from explorer.policies.base import CountingPolicy, Setting
from explorer.sketches import CountMin


class CountMinPolicy(CountingPolicy):
    """H2O with its sums in a count-min sketch (Cormode & Muthukrishnan 2005): a table of fixed size
    a layer, never below the truth. Too narrow, it takes every token for a heavy one. The sketch
    never forgets a token that has left, so its error grows with the text unless `decay` is below 1.
    """

    name = "count_min"
    words = "lowest estimated attention per query"

    def make_sketch(self, setting: Setting) -> CountMin:
        return CountMin(
            setting.sketch_width,
            setting.sketch_depth,
            layers=setting.num_layers,
            conservative=setting.conservative,
            decay=setting.decay,
            seed=setting.seed,
            device=setting.device,
        )
