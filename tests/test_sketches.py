"""Sketches: their guarantees over many seeds, and plain Python that does the same beside them."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from statistics import mean, stdev
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from explorer import sketches
from explorer.sketches import CountMin, CountSketch, Race
from tests.plain_sketches import Batch, P, Plain

quiet = settings(max_examples=100, deadline=None, derandomize=True, database=None)

# Weights are integers of few digits wherever equality is asked for: float32 adds those exactly.
keys = st.one_of(st.integers(0, 40), st.integers(0, P))
batches = st.lists(st.lists(st.tuples(keys, st.integers(0, 50)), min_size=1, max_size=12))
shapes = st.tuples(st.integers(1, 24), st.integers(1, 6), st.integers(0, 10**6))


def add(sketch: CountMin | CountSketch, batch: Batch) -> None:
    sketch.add(
        torch.tensor([key for key, _ in batch]), torch.tensor([[float(w) for _, w in batch]])
    )


def read(sketch: CountMin | CountSketch, keys: list[int]) -> list[float]:
    return sketch.estimate(torch.tensor(keys))[0].tolist()


def truth(stream: list[Batch]) -> Counter[int]:
    sums: Counter[int] = Counter()
    for batch in stream:
        for key, weight in batch:
            sums[key] += weight
    return sums


def heavy(num_keys: int, seed: int = 1) -> torch.Tensor:
    """`[1, num_keys]` weights of which few are large, as attention's are; whole numbers."""
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(1, num_keys, generator=generator) ** 8 * 100).round()


# ---- against plain Python ----------------------------------------------------------------------


@quiet
@given(stream=batches, shape=shapes)
def test_count_min_is_what_plain_python_makes_of_the_stream(
    stream: list[Batch], shape: tuple[int, int, int]
) -> None:
    width, depth, seed = shape
    sketch = CountMin(width, depth, seed=seed)
    plain = Plain(sketch)
    for batch in stream:
        add(sketch, batch)
        for key, weight in batch:
            plain.add(key, weight)
    asked = [0, 7, P, *truth(stream)]
    assert read(sketch, asked) == [min(plain.cells(key)) for key in asked]
    assert sketch.table[0].tolist() == plain.rows
    assert sketch.columns(torch.tensor(asked)).T.tolist() == [plain.columns(key) for key in asked]
    assert sketch.cells(torch.tensor(asked))[0].T.tolist() == [plain.cells(key) for key in asked]


@quiet
@given(stream=batches, shape=shapes)
def test_count_sketch_is_what_plain_python_makes_of_the_stream(
    stream: list[Batch], shape: tuple[int, int, int]
) -> None:
    width, depth, seed = shape
    sketch = CountSketch(width, depth, seed=seed)
    plain = Plain(sketch)
    for batch in stream:
        add(sketch, batch)
        for key, weight in batch:
            plain.add_signed(key, weight)
    asked = [0, 7, P, *truth(stream)]
    assert sketch.table[0].tolist() == plain.rows
    assert read(sketch, asked) == [plain.signed(key) for key in asked]


@quiet
@given(stream=batches, shape=shapes)
def test_a_conservative_batch_arrives_at_once(
    stream: list[Batch], shape: tuple[int, int, int]
) -> None:
    width, depth, seed = shape
    sketch = CountMin(width, depth, conservative=True, seed=seed)
    shuffled = CountMin(width, depth, conservative=True, seed=seed)
    plain = Plain(sketch)
    for batch in stream:
        add(sketch, batch)
        add(shuffled, list(reversed(batch)))
        plain.add_conservatively(batch)
    assert sketch.table[0].tolist() == shuffled.table[0].tolist() == plain.rows


@quiet
@given(stream=batches, shape=shapes)
def test_no_estimate_is_below_the_truth_and_conservative_is_never_further_off(
    stream: list[Batch], shape: tuple[int, int, int]
) -> None:
    width, depth, seed = shape
    sketch = CountMin(width, depth, seed=seed)
    conservative = CountMin(width, depth, conservative=True, seed=seed)
    one_by_one = CountMin(width, depth, conservative=True, seed=seed)
    for batch in stream:
        add(sketch, batch)
        add(conservative, batch)
        for item in batch:
            add(one_by_one, [item])
    sums = truth(stream)
    asked = [3, *sums]
    rows = zip(
        *[[sums[key] for key in asked], *(read(s, asked) for s in (conservative, one_by_one))],
        read(sketch, asked),
        strict=True,
    )
    for true, batched, in_turn, added in rows:
        assert true <= batched <= in_turn <= added


@quiet
@given(first=batches, second=batches, shape=shapes, kind=st.sampled_from([CountMin, CountSketch]))
def test_merging_is_the_sketch_of_both_streams(
    first: list[Batch],
    second: list[Batch],
    shape: tuple[int, int, int],
    kind: type[CountMin] | type[CountSketch],
) -> None:
    one, other, both = (kind(*shape[:2], seed=shape[2]) for _ in range(3))
    for batch in first:
        add(one, batch)
        add(both, batch)
    for batch in second:
        add(other, batch)
        add(both, batch)
    before = one.table.clone()
    merged = one.merge(other)
    assert torch.equal(merged.table, both.table)
    assert torch.equal(merged.total, both.total)
    assert torch.equal(one.table, before)


def test_hashes_are_exact_at_the_edges_of_their_range() -> None:
    sketch = CountMin(97, 3)
    sketch.a = torch.tensor([[P - 1], [1], [2**30]])
    sketch.b = torch.tensor([[P - 1], [0], [P - 1]])
    plain = Plain(sketch)
    asked = [0, 1, 2**16, 2**30, P - 1, P]
    assert sketch.columns(torch.tensor(asked)).T.tolist() == [plain.columns(key) for key in asked]
    assert max(map(plain.mix, range(10_000))) > 0.99 * P  # the largest products are among them


def test_mixing_makes_no_two_keys_alike() -> None:
    around = torch.cat([torch.arange(2**20), torch.arange(2**31 - 2**20, 2**31)])
    mixed = sketches.mix(around)
    assert mixed.unique().numel() == around.numel()
    assert int(mixed.min()) >= 0
    assert int(mixed.max()) <= P


# ---- by hand -----------------------------------------------------------------------------------


@pytest.fixture
def by_hand(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Makes a sketch of two rows of 4 whose functions are k and, as 2^30 = 1/2 modulo p, k/2.

    Key 0 shares a cell with 4 in the first row and with 1 in the second, where 2 meets 3.
    """
    monkeypatch.setattr(sketches, "mix", lambda keys: keys)

    def make(kind: type[Any], **options: Any) -> Any:
        sketch = kind(4, 2, **options)
        sketch.a, sketch.b = torch.tensor([[1], [2**30]]), torch.tensor([[0], [0]])
        assert sketch.columns(torch.arange(5)).tolist() == [[0, 1, 2, 3, 0], [0, 0, 1, 1, 2]]
        return sketch

    return make


STREAM = [(0, 5), (1, 2), (4, 3), (2, 1)]


def test_count_min_by_hand(by_hand: Callable[..., Any]) -> None:
    sketch = by_hand(CountMin)
    add(sketch, STREAM)
    assert sketch.table[0].tolist() == [[8, 2, 1, 0], [7, 1, 3, 0]]
    assert read(sketch, [0, 1, 2, 3, 4]) == [7, 2, 1, 0, 3]
    assert sketch.error_bound().tolist() == [pytest.approx(2.718281828 / 4 * 11)]
    assert sketch.confidence == pytest.approx(1 - 0.1353352832)


def test_conservative_count_min_by_hand(by_hand: Callable[..., Any]) -> None:
    sketch = by_hand(CountMin, conservative=True)
    for item in STREAM:
        add(sketch, [item])
    assert sketch.table[0].tolist() == [[5, 2, 1, 0], [5, 1, 3, 0]]
    assert read(sketch, [0, 1, 2, 3, 4]) == [5, 2, 1, 0, 3]


def test_count_sketch_by_hand(by_hand: Callable[..., Any]) -> None:
    sketch = by_hand(CountSketch)
    add(sketch, STREAM)  # key 4's hash in the first row is 4: its next bit makes it negative
    assert sketch.table[0].tolist() == [[2, 2, 1, 0], [7, 1, 3, 0]]
    assert read(sketch, [0, 1, 2, 3, 4]) == [4.5, 4.5, 1, 0.5, 0.5]


def test_race_by_hand() -> None:
    race = Race(2, 2, 1)
    race.planes = torch.eye(2)  # the axes: four quadrants
    race.add(torch.tensor([[[1.0, 1.0], [2.0, 0.5], [-1.0, 3.0]]]))
    assert race.table.tolist() == [[[0, 0, 1, 2]]]
    assert race.estimate(torch.tensor([[[5.0, 1.0], [-2.0, 0.1], [-1.0, -1.0]]])).tolist() == [
        [2, 1, 0]
    ]
    race.add(torch.tensor([[[1.0, 1.0], [-1.0, -1.0]]]), torch.tensor([[0, 3]]))
    assert race.table.tolist() == [[[3, 0, 1, 2]]]
    assert race.total.tolist() == [6]


@pytest.mark.parametrize("kind", [CountMin, CountSketch])
def test_decay_halves_what_was_there_at_every_step(kind: type[Any]) -> None:
    sketch = kind(64, 3, decay=0.5)
    for weight in (8, 2, 1):
        add(sketch, [(5, weight)])
    assert read(sketch, [5]) == [8 / 4 + 2 / 2 + 1]
    assert sketch.total.tolist() == [4]


@pytest.mark.parametrize("conservative", [False, True])
def test_layers_are_sketches_of_their_own(conservative: bool) -> None:
    together = CountMin(16, 3, layers=2, conservative=conservative, seed=4)
    apart = [CountMin(16, 3, conservative=conservative, seed=4) for _ in range(2)]
    generator = torch.Generator().manual_seed(0)
    for _ in range(5):
        keys = torch.randint(0, 50, (2, 30), generator=generator)
        weights = torch.randint(0, 9, (2, 30), generator=generator).float()
        together.add(keys, weights)
        for layer, sketch in enumerate(apart):
            sketch.add(keys[layer], weights[layer : layer + 1])
    everywhere = torch.arange(50)
    assert torch.equal(together.table, torch.cat([sketch.table for sketch in apart]))
    both = torch.cat([sketch.estimate(everywhere) for sketch in apart])
    assert torch.equal(together.estimate(everywhere), both)
    assert torch.equal(together.estimate(everywhere.expand(2, -1)), both)
    bounds = torch.cat([sketch.error_bound() for sketch in apart])
    assert torch.equal(together.error_bound(), bounds)


@pytest.mark.parametrize("kind", [CountMin, CountSketch])
def test_bytes_are_those_of_cells_totals_and_coefficients(kind: type[Any]) -> None:
    assert kind(128, 4, layers=3).nbytes == 4 * 128 * 4 * 3 + 4 * 3 + 2 * 8 * 4
    assert Race(16, 5, 4, layers=3).nbytes == 4 * 2**5 * 4 * 3 + 8 * 3 + 4 * 16 * 5 * 4


# ---- over seeds --------------------------------------------------------------------------------


@pytest.mark.parametrize("conservative", [False, True])
@pytest.mark.parametrize(("width", "depth"), [(8, 1), (8, 2), (64, 3)])
def test_the_bound_holds_as_often_as_it_promises(
    width: int, depth: int, conservative: bool
) -> None:
    num_seeds, weights = 400, heavy(300)
    exceeded = 0
    for seed in range(num_seeds):
        sketch = CountMin(width, depth, conservative=conservative, seed=seed)
        sketch.add(torch.arange(300), weights)
        error = sketch.estimate(torch.arange(300)) - weights
        exceeded += bool(error[0, 7] > sketch.error_bound()[0])
    promised = 1 - sketch.confidence
    assert promised == pytest.approx(math.exp(-depth))
    slack = 4 * math.sqrt(promised * (1 - promised) / num_seeds)
    assert exceeded / num_seeds <= promised + slack


@pytest.mark.parametrize("width", [10, 64])
def test_a_row_errs_by_its_share_of_the_stream(width: int) -> None:
    """One row's expected error is what the other keys weigh, over the width: no key is favoured."""
    weights, asked = heavy(200), torch.tensor([3])
    errors = []
    for seed in range(1500):
        sketch = CountMin(width, 1, seed=seed)
        sketch.add(torch.arange(200), weights)
        errors.append(float(sketch.estimate(asked)[0, 0] - weights[0, 3]))
    expected = float(weights.sum() - weights[0, 3]) / width
    assert abs(mean(errors) - expected) < 4 * stdev(errors) / math.sqrt(len(errors))


@pytest.mark.parametrize("depth", [1, 3, 4])
def test_count_sketch_errs_to_both_sides_alike(depth: int) -> None:
    weights, asked = heavy(100), torch.tensor([3])
    errors = []
    for seed in range(1500):
        sketch = CountSketch(8, depth, seed=seed)
        sketch.add(torch.arange(100), weights)
        errors.append(float(sketch.estimate(asked)[0, 0] - weights[0, 3]))
    assert abs(mean(errors)) < 4 * stdev(errors) / math.sqrt(len(errors))
    assert min(errors) < 0 < max(errors)
    if depth == 1:  # the other keys' squares, spread over the width
        spread = math.sqrt(float((weights**2).sum() - weights[0, 3] ** 2) / 8)
        assert stdev(errors) == pytest.approx(spread, rel=0.1)


def mean_error(depth: int, seed: int, largest_multiplier: int = P - 1) -> float:
    """Mean error of count-min, 512 wide, over positions 0 to 4095."""
    sketch = CountMin(512, depth, seed=seed)
    sketch.a = 1 + sketch.a % largest_multiplier
    weights = heavy(4096)
    sketch.add(torch.arange(4096), weights)
    return float((sketch.estimate(torch.arange(4096)) - weights).mean())


@pytest.mark.parametrize("seed", range(5))
def test_on_sequential_keys_depth_6_beats_depth_2(seed: int) -> None:
    assert mean_error(6, seed) < mean_error(2, seed) / 2


def test_unmixed_sequential_keys_make_depth_useless(monkeypatch: pytest.MonkeyPatch) -> None:
    """While a x + b stays below p, rows disagree only if keys are mixed."""
    assert mean_error(6, 0, 1000) < mean_error(2, 0, 1000) / 2
    monkeypatch.setattr(sketches, "mix", lambda keys: keys)
    assert mean_error(6, 0, 1000) == pytest.approx(mean_error(2, 0, 1000), rel=0.01)


def test_race_counts_what_the_angular_kernel_would() -> None:
    generator = torch.Generator().manual_seed(0)
    queries, points = (torch.randn(2, n, 8, generator=generator) for n in (40, 6))
    queries[0] += 1  # a cloud off the centre, so that sums differ
    cosine = torch.nn.functional.cosine_similarity(points[:, :, None], queries[:, None], dim=-1)
    exact = ((1 - cosine.arccos() / math.pi) ** 3).sum(dim=-1)
    estimates = []
    for seed in range(300):
        race = Race(8, 3, 4, layers=2, seed=seed)
        race.add(queries)
        estimates.append(race.estimate(points))
    all_of_them = torch.stack(estimates)
    error = (all_of_them.mean(dim=0) - exact).abs()
    assert bool((error < 4.5 * all_of_them.std(dim=0) / math.sqrt(300)).all())
    assert float(exact.max()) > 2 * float(exact.min())


def test_race_counts_only_directions() -> None:
    vectors = torch.randn(1, 20, 8, generator=torch.Generator().manual_seed(1))
    race = Race(8, 4, 5)
    race.add(vectors)
    assert torch.equal(race.columns(vectors), race.columns(vectors * 3))
    opposite = 2**4 - 1 - race.columns(vectors)
    assert torch.equal(race.columns(-vectors), opposite)
    assert race.table.sum() == 20 * 5


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (dict(width=0), "width: must be at least 1, not 0."),
        (dict(depth=0), "depth: must be at least 1, not 0."),
        (dict(layers=0), "layers: must be at least 1, not 0."),
        (dict(decay=0.0), "decay: must be above 0 and at most 1, not 0.0."),
        (dict(decay=1.5), "decay: must be above 0 and at most 1, not 1.5."),
    ],
)
def test_sizes_that_hold_nothing_are_refused(wrong: dict[str, Any], said: str) -> None:
    for kind in (CountMin, CountSketch):
        with pytest.raises(ValueError, match=f"^{said}$"):
            kind(**(dict(width=8, depth=2) | wrong))


@pytest.mark.parametrize(("bits", "said"), [(0, "at least 1, not 0"), (25, "at most 24, not 25")])
def test_race_of_no_bits_or_too_many_is_refused(bits: int, said: str) -> None:
    with pytest.raises(ValueError, match=rf"^bits: must be {said}\.$"):
        Race(8, bits, 4)


@pytest.mark.parametrize(
    "other",
    [
        CountMin(8, 2, seed=1),
        CountMin(9, 2),
        CountMin(8, 3),
        CountMin(8, 2, layers=2),
        CountMin(8, 2, decay=0.5),
        CountMin(8, 2, conservative=True),
        CountSketch(8, 2),
    ],
)
def test_sketches_that_do_not_add_up_are_not_merged(other: Any) -> None:
    sketch = CountMin(8, 2)
    for one, two in ((sketch, other), (other, sketch)):
        with pytest.raises(ValueError, match=r"^merge: [^.]*[a-z=]\."):
            one.merge(two)


# ---- on CUDA -----------------------------------------------------------------------------------


@pytest.mark.gpu
@pytest.mark.parametrize("options", [{}, {"conservative": True}, {"decay": 0.9}])
@pytest.mark.parametrize("kind", [CountMin, CountSketch])
def test_the_device_sketches_what_the_processor_sketches(
    kind: type[Any], options: dict[str, Any]
) -> None:
    if kind is CountSketch and "conservative" in options:
        pytest.skip("a count-sketch is never conservative")
    made = {}
    for name in ("cpu", "cuda", "cuda again"):
        sketch = kind(64, 4, layers=3, device=name.split()[0], **options)
        generator = torch.Generator().manual_seed(0)
        for _ in range(4):
            keys = torch.randint(0, P, (3, 500), generator=generator)
            keys[:, :100] %= 7  # several times in a batch
            weights = torch.rand(3, 500, generator=generator)
            sketch.add(keys.to(sketch.table.device), weights.to(sketch.table.device))
        on_device = keys.to(sketch.table.device)
        made[name] = (sketch.columns(on_device).cpu(), sketch.estimate(on_device).cpu())
    assert torch.equal(made["cpu"][0], made["cuda"][0])
    torch.testing.assert_close(made["cpu"][1], made["cuda"][1])
    assert torch.equal(made["cuda"][1], made["cuda again"][1])


@pytest.mark.gpu
def test_the_device_counts_in_race_what_the_processor_counts() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(2, 4000, 16, generator=generator)
    tables = []
    races = [Race(16, 4, 5, layers=2, device=device) for device in ("cpu", "cuda")]
    assert torch.equal(races[0].planes, races[1].planes.cpu())
    distances = (vectors.double() @ races[0].planes.double()).abs().amin(dim=-1)
    counts = (distances > 1e-4).long()  # not those within rounding of a plane
    for race in races:
        race.add(vectors.to(race.table.device), counts.to(race.table.device))
        tables.append(race.table.cpu())
    assert torch.equal(*tables)
    assert int(counts.sum()) > 7000
