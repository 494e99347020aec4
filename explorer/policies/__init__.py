"""Which slot leaves first. A member is one file and one line here."""

from explorer.policies.base import CountingPolicy, Policy, Reading, Setting
from explorer.policies.count_min import CountMinPolicy
from explorer.policies.count_sketch import CountSketchPolicy
from explorer.policies.fifo import Fifo
from explorer.policies.h2o import H2O
from explorer.policies.lru import LRU
from explorer.policies.race import RacePolicy
from explorer.policies.random import Random
from explorer.policies.window import Window

POLICIES: dict[str, type[Policy]] = {
    policy.name: policy
    for policy in (Window, Fifo, LRU, Random, H2O, CountMinPolicy, CountSketchPolicy, RacePolicy)
}

__all__ = ["POLICIES", "CountingPolicy", "Policy", "Reading", "Setting"]
