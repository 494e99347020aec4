"""The tree by mouse and by key: folds, search, bookmarks, the map, and trees of 20,000 nodes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

pytestmark = pytest.mark.browser

# A run that forks and prunes at every step: `bigLog(depths, width)`, made of the page's own header.
BIG = """async (depths, width) => {
    const url = document.querySelector('link[href$="/log.js"]').href;
    const { Log } = await import(url);
    const shown = window.forkscope.stages.explore.log;
    const log = new Log(shown.header), { memory } = shown.steps[0];
    let rows = [{ path: 0, node: -1 }], nodes = 0, paths = 1, seed = 1;
    const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (let index = 0; index < depths; index++) {
        const made = [], next = [], decisions = [], forks = [], ends = [];
        rows.forEach((row, at) => {
            const h = random() ** 3, factor = h > 0.35 ? 2 : 1;
            decisions.push({ path: row.path, node: row.node, entropy: h, normalized_entropy: h,
                             raw_entropy: h, factor, candidates: [] });
            const children = factor === 1 ? [row.path] : [paths++, paths++];
            if (factor > 1) forks.push({ path: row.path, children });
            children.forEach((path, i) => {
                made.push({ id: nodes, parent: row.node, path, token: 1, text: ` w${nodes}`,
                            raw: 'w', prob: factor > 1 ? [0.6, 0.3][i] : 0.9, raw_prob: 0.5,
                            logprob: -1, raw_logprob: -1, perturbed: null });
                next.push({ path, node: nodes++, at });
            });
        });
        const dropped = new Set();
        while (next.length - dropped.size > width) dropped.add(Math.floor(random() * next.length));
        for (const at of dropped) {
            ends.push({ path: next[at].path, node: next[at].node, status: 'pruned' });
        }
        rows = next.filter((_, at) => !dropped.has(at));
        log.append({ index, phase: index ? 'decode' : 'prefill', positions: 1, seconds: 0.01,
                     overhead_seconds: 0, paths: rows.map((row) => row.path),
                     parents: rows.map((row) => row.at), decisions, nodes: made, forks, ends,
                     slots: [], freed: [], memory_forward: memory, memory, peak_memory_nbytes: 0 });
    }
    return log;
}"""

# Ids of the nodes below `id` that are there, and the share of mass that runs through it:
# straight from their definitions.
BELOW = """(log, id, cursor) => {
    const there = (at) => log.nodes[at].step <= cursor;
    const ids = log.nodes.map((node) => node.id).filter((at) => there(at) && at !== id
        && (id < 0 || log.lineage(at).includes(id)));
    const share = (at) => {
        const beside = log.node(log.nodes[at].parent).children.filter(there);
        return log.nodes[at].prob / beside.reduce((sum, one) => sum + log.nodes[one].prob, 0);
    };
    const mass = (id < 0 ? [] : log.lineage(id)).reduce((product, at) => product * share(at), 1);
    return [ids, mass];
}"""


def stage(page: Page, body: str, argument: Any = None) -> Any:
    """Evaluate `body` with `stage` bound to the Explore stage and `arg` to `argument`."""
    return page.evaluate(
        f"async (arg) => {{ const stage = window.forkscope.stages.explore;"
        f" const below = {BELOW}; const bigLog = {BIG}; {body} }}",
        argument,
    )


def settle(page: Page) -> None:
    """Nothing glides any more, and what was asked for has been drawn."""
    page.wait_for_function("() => !window.forkscope.stages.explore.tree.camera.goal")
    stage(page, "await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)))")


def at_end(page: Page) -> None:
    """The recorded story at its last step, whole and still."""
    stage(page, "stage.player.seek(stage.log.length - 1); stage.tree.fit(true); stage.draw()")
    settle(page)


def big(page: Page, depths: int, width: int) -> int:
    """Show a run of `depths` x `width`; how many nodes it has."""
    return stage(page, f"const log = await bigLog({depths}, {width});"
                       " stage.load(log, { title: 'big', autoplay: false }); stage.draw();"
                       " return log.nodes.length;")  # fmt: skip


def mark(page: Page, node: int) -> Locator:
    return page.locator(f'.fs-tree .fs-node[data-id="{node}"]').first


def marks(page: Page, kind: str = "") -> list[int]:
    """Ids of the tokens that have a mark in the document; `kind`: only those of a class."""
    return stage(
        page,
        """return Array.from(stage.tree.root.querySelectorAll('.fs-node' + arg),
            (mark) => Number(mark.dataset.id)).filter((id) => id >= 0)""",
        kind,
    )


def pin(page: Page, node: int) -> None:
    stage(page, f"stage.select({{ kind: 'node', id: {node} }}, {{ reveal: true }})")
    settle(page)


def a_fork(page: Page) -> int:
    """A node with several children, of which one at least was pruned later and one went on."""
    return stage(
        page, "return stage.log.nodes.find((node) => node.children.length > 1 && node.depth > 2).id"
    )


# -- what is drawn -------------------------------------------------------------


def test_every_node_of_a_small_tree_has_its_mark_when_all_of_it_is_in_sight(page: Page) -> None:
    at_end(page)
    assert marks(page) == stage(page, "return stage.log.nodes.map((node) => node.id)")
    stage(page, "stage.player.seek(9); stage.draw()")
    assert marks(page) == stage(
        page, "return stage.log.nodes.filter((one) => one.step <= 9).map((one) => one.id)"
    )


def test_only_what_is_in_sight_is_in_the_document_and_comes_back_as_the_same_element(
    page: Page,
) -> None:
    at_end(page)
    stage(page, "stage.tree.centre(0, 0, 1, true)")
    settle(page)
    assert 0 in marks(page)
    total = stage(page, "window.first = stage.tree.root.querySelector('.fs-node[data-id=\"0\"]');"
                        " return stage.log.nodes.length")  # fmt: skip
    stage(page, "stage.tree.centre(40, 0, 1, true)")
    settle(page)
    assert 0 not in marks(page)
    assert 0 < len(marks(page)) < total / 2
    stage(page, "stage.tree.centre(0, 0, 1, true)")
    settle(page)
    assert stage(
        page,
        "return stage.tree.root.querySelector('.fs-node[data-id=\"0\"]') === window.first",
    )


def test_twenty_thousand_nodes_are_never_more_than_fifteen_hundred_marks(page: Page) -> None:
    assert big(page, 430, 40) >= 20_000
    for scale in (0.01, 0.03, 0.1, 0.2, 0.35, 0.6, 1):
        for column in (5, 200):
            stage(page, f"stage.tree.centre({column}, 0, {scale}, true); stage.draw()")
            count = (
                page.locator(".fs-tree .fs-node").count()
                + page.locator(".fs-tree .fs-fold").count()
            )
            assert 1 <= count <= 1500, (scale, column)
            assert len(marks(page)) > 20 or scale < 0.1, (scale, column)


def test_far_out_every_node_is_drawn_or_counted_in_a_fold(page: Page) -> None:
    total = big(page, 120, 40)
    stage(page, "stage.tree.laneFloor = 0; stage.tree.centre(60, 0, 0.06, true); stage.draw()")
    folds = stage(
        page,
        """return Array.from(stage.tree.root.querySelectorAll('.fs-fold title'),
            (title) => Number(title.textContent.split(' token')[0].replaceAll(',', '')))""",
    )
    assert len(folds) > 5
    assert sum(folds) + len(marks(page)) == total


def test_words_of_folds_keep_out_of_each_others_way(page: Page) -> None:
    big(page, 430, 40)
    stage(page, "stage.tree.laneFloor = 0; stage.tree.centre(100, 0, 0.1, true); stage.draw()")
    boxes = stage(
        page,
        """return Array.from(stage.tree.root.querySelectorAll('.fs-fold-words'), (words) => {
            const { left, right, top, bottom } = words.getBoundingClientRect();
            return [left, right, top, bottom, words.textContent];
        })""",
    )
    assert len(boxes) >= 3
    assert all(re.fullmatch(r"[\d,]+ tokens? · ([<>]?[01]\.\d{3})", box[4]) for box in boxes)
    for at, one in enumerate(boxes):
        for other in boxes[:at]:
            apart = (
                one[1] <= other[0] + 1
                or other[1] <= one[0] + 1
                or one[3] <= other[2] + 2
                or other[3] <= one[2] + 2
            )
            assert apart, (one, other)


def test_every_seek_among_three_thousand_nodes_is_drawn_with_few_elements(page: Page) -> None:
    assert big(page, 100, 30) >= 3000
    stage(page, "stage.tree.fit(true); stage.draw()")
    settle(page)
    drawn, cursors, elements = stage(page, """
        const before = stage.drawn, cursors = [];
        for (let i = 0; i < 25; i++) {
            stage.player.seek((i * 37) % 100);
            await new Promise((go) => requestAnimationFrame(() => requestAnimationFrame(go)));
            cursors.push(stage.tree.scene.state.cursor);
        }
        return [stage.drawn - before, cursors, stage.tree.root.querySelectorAll('*').length];
    """)  # fmt: skip
    assert drawn >= 25
    assert cursors == [(at * 37) % 100 for at in range(25)]
    assert elements < 12_000


def test_the_newest_tokens_stay_in_sight_however_fast_they_come(page: Page) -> None:
    stage(page, "stage.tree.following = true; stage.player.seek(0)")
    lost = stage(page, """
        const lost = [];
        for (let step = 1; step < stage.log.length; step++) {
            stage.player.seek(step);
            await new Promise((go) => requestAnimationFrame(go));
            await new Promise((go) => setTimeout(go, 12));
            stage.draw();
            const box = stage.tree.root.getBoundingClientRect();
            const state = stage.log.at(step);
            if (state.isOver) continue;
            const inside = state.rows.filter(({ node }) => {
                const mark = stage.tree.root.querySelector(`.fs-node[data-id="${node}"] .fs-dot`);
                const dot = mark?.getBoundingClientRect();
                return dot && dot.left >= box.left && dot.right <= box.right + 1
                    && dot.top >= box.top - 1 && dot.bottom <= box.bottom + 1;
            });
            if (inside.length < state.rows.length) lost.push([step, inside.length]);
        }
        return lost;
    """)  # fmt: skip
    assert lost == []


def test_a_token_that_is_pointed_at_lights_its_whole_path(page: Page) -> None:
    at_end(page)
    node = stage(page, "return stage.log.nodes.at(-1).id")
    mark(page, node).locator(".fs-dot").hover()
    expect(mark(page, node)).to_have_class(re.compile("is-hovered"))
    lit = marks(page, ".is-lit")
    assert lit == stage(page, f"return stage.log.lineage({node})")
    edges = page.locator(".fs-tree .fs-edge.is-lit path")
    lines = edges.evaluate_all("(paths) => paths.map((path) => path.getAttribute('d')).join('')")
    assert lines.count("M") == len(lit)


EDGES = """
    const { root, marks } = stage.tree;
    const short = (value) => Math.round(value * 100) / 100;
    const linesOf = (path) => path.getAttribute('d').split('M').slice(1);
    const endsOf = (line) => {
        const [from, lane] = [line.split('C')[0], line.split('H')[0].split(' ').at(-1)];
        return [...from.split(' '), line.split('H')[1], lane].join();
    };
    const drawn = [...root.querySelectorAll('.fs-edge')].flatMap((layer) =>
        [...layer.children].flatMap(linesOf).map((line) =>
            `${layer.className.baseVal}: ${endsOf(line)}`));
    const at = (id) => { // the prompt is a square; of others the dot may be out of sight
        const dot = root.querySelector(`.fs-node[data-id="${id}"] circle.fs-dot`);
        const { x, y } = stage.tree.placeOf(id);
        return dot ? [dot.getAttribute('cx'), dot.getAttribute('cy')].map(Number) : [x, short(y)];
    };
    const wanted = [...root.querySelectorAll('.fs-node:not(.fs-root)')].map((mark) => {
        const { id, parent } = stage.log.node(Number(mark.dataset.id));
        const look = ['lit', 'dead'].find((name) => mark.classList.contains(`is-${name}`));
        const [x, y] = at(parent);
        const from = [short(x + marks.get(parent).radius - 1), y];
        return `fs-edge is-${look ?? 'plain'}: ${[...from, ...at(id)].join()}`;
    });
    const without = (these, those) => these.filter((one) => !those.includes(one));
    return [drawn.length, wanted.length, without(drawn, wanted), without(wanted, drawn)];
"""


def test_every_token_in_sight_has_one_edge_from_its_parent_that_looks_as_it_does(
    page: Page,
) -> None:
    at_end(page)
    stage(page, "stage.player.pause(); stage.tree.fit(true); stage.tree.zoom(1)")
    found = 0
    for step in (3, 4, 9, 10, 30, 7, 200, 60):
        stage(page, f"stage.player.seek({step}); stage.tree.following = true; stage.draw()")
        stage(page, "stage.draw()")
        num_drawn, num_wanted, *apart = stage(page, EDGES)
        assert num_drawn == num_wanted and apart == [[], []]
        found += num_drawn
    assert found > 100
    node = stage(page, "return stage.tree.present.at(-1)")
    mark(page, node).locator(".fs-dot").hover()
    num_drawn, num_wanted, *apart = stage(page, EDGES)
    assert num_drawn == num_wanted and apart == [[], []]
    assert page.locator(".fs-tree .fs-edge.is-lit path").count() > 1


def test_tools_and_legend_lie_beside_the_nodes_not_over_them(page: Page) -> None:
    tree = page.locator(".fs-tree-root").first.bounding_box()
    bar = page.locator(".fs-tree-bar").first.bounding_box()
    key = page.locator(".fs-shapes").first.bounding_box()
    assert tree and bar and key
    assert bar["y"] + bar["height"] <= tree["y"] + 1
    assert key["y"] >= tree["y"] + tree["height"] - 1
    for word in ("fork", "pruned", "finished", "length limit", "newest"):
        expect(page.locator(".fs-shapes").first).to_contain_text(word)


# What a threshold would do to every position that was decided, by walking from the prompt's end:
# where no fork would be, its first child alone is left; what hangs on the others is cut off.
VERDICTS = """(log, cursor, tau) => {
    const { max_paths: most, entropy_threshold: own } = log.header.config.branching;
    const of = { gained: [], lost: [], cut: [] };
    const visit = (id, isThere) => {
        const at = log.node(id);
        if (at.decided > cursor) return;
        const { normalized_entropy: h, factor, entropy, candidates } = at.decision;
        const live = at.decided ? log.steps[at.decided - 1].paths.length : 1;
        const isStuck = most - live === 1
            || (entropy === 0 && candidates.filter((one) => one.prob).length < 2);
        if (factor > 1 && !isThere) of.cut.push(id);
        else if (factor > 1 && h < tau) of.lost.push(id);
        else if (factor === 1 && isThere && h >= tau && h < own && !isStuck) of.gained.push(id);
        const stays = factor > 1 && h < tau ? 1 : at.children.length;
        at.children.forEach((child, place) => {
            if (log.nodes[child].step <= cursor) visit(child, isThere && place < stays);
        });
    };
    visit(-1, true);
    for (const ids of Object.values(of)) ids.sort((a, b) => a - b);
    return of;
}"""
SIGNS = {"gained": ".is-would", "lost": ".is-wouldnt", "cut": ".is-cut"}


def signed(page: Page, sign: str) -> list[int]:
    """Ids of all tokens with a sign, the prompt's end as -1."""
    ids = "(all) => all.map((mark) => Number(mark.dataset.id))"
    return sorted(page.locator(f".fs-tree .fs-node{sign}").evaluate_all(ids))


def sentence_counts(page: Page) -> tuple[int, int]:
    """Forks not explored and forks that would not happen, as the line under the head says."""
    words = page.locator(".fs-whatif-words").text_content() or ""
    gained = re.search(r"of which ([\d,]+) not explored", words)
    gone = re.search(r"([\d,]+) forks? would not happen", words)
    return tuple(int(found[1].replace(",", "")) if found else 0 for found in (gained, gone))  # type: ignore[return-value]


def test_another_threshold_marks_what_a_walk_through_the_tree_finds_and_its_sentence_counts(
    page: Page,
) -> None:
    at_end(page)
    assert page.locator(".fs-tree :is(.fs-would, .fs-wouldnt, .fs-cut)").count() == 0
    key = page.locator(".fs-shapes").first
    seen = set()
    for tau in (0.02, 0.1, 0.3, 0.9):
        stage(page, f"stage.tryTau({tau}); stage.draw()")
        wanted = stage(page, f"return ({VERDICTS})(stage.log, stage.log.length - 1, {tau})")
        assert {name: signed(page, sign) for name, sign in SIGNS.items()} == wanted, tau
        for part in ("would", "wouldnt", "cut"):
            name = next(name for name, sign in SIGNS.items() if sign == f".is-{part}")
            drawn = page.locator(f".fs-tree .fs-node .fs-{part}").count()
            assert drawn == len(wanted[name]), (tau, part)
        assert sentence_counts(page) == (
            len(wanted["gained"]),
            len(wanted["lost"]) + len(wanted["cut"]),
        )
        for name, words in (
            ("gained", "would fork, not explored"),
            ("lost", "would not fork"),
            ("cut", "fork not reached"),
        ):
            assert key.get_by_text(words, exact=True).is_visible() == bool(wanted[name])
            if wanted[name]:
                seen.add(name)
    assert seen == set(SIGNS)
    stage(page, "stage.tryTau(null); stage.draw()")
    assert page.locator(".fs-tree :is(.fs-would, .fs-wouldnt, .fs-cut)").count() == 0
    expect(key.get_by_text("fork not reached", exact=True)).to_be_hidden()


def test_a_threshold_marks_the_same_forks_in_the_text_and_the_multiverse(page: Page) -> None:
    at_end(page)
    for tau in (0.05, 0.3):
        stage(page, f"stage.tryTau({tau}); stage.show('text'); stage.draw()")
        wanted = stage(page, f"return ({VERDICTS})(stage.log, stage.log.length - 1, {tau})")
        legend = page.locator(".fs-text .fs-view-legend")
        expect(legend).to_contain_text("not reached")
        for name, ids in wanted.items():
            words = page.locator(f".fs-text .fs-word.is-{name}")
            found = words.evaluate_all("(all) => all.map((one) => Number(one.dataset.id))")
            assert sorted(found) == ids, (tau, name)
        forks = page.locator(".fs-text .fs-word.is-fork")
        stay = stage(page, f"return stage.log.forks.length - {len(wanted['lost'] + wanted['cut'])}")
        assert forks.count() == stay
        discs, blocks = stage(page, """
            stage.show('multiverse');
            const { prototype } = CanvasRenderingContext2D;
            const { arc } = prototype;
            let discs = 0;
            prototype.arc = function (...all) { discs += 1; return arc.apply(this, all); };
            stage.draw();
            prototype.arc = arc;
            const alone = stage.views.multiverse.found.filter(({ ids }) => ids.length === 1);
            return [discs, alone.map(({ ids }) => ids[0])];
        """)  # fmt: skip
        marked = {at for ids in wanted.values() for at in ids}
        assert discs == len(marked & set(blocks)) > 3, tau
        stage(page, "stage.show('tree'); stage.draw()")


def test_a_position_without_room_is_not_ringed(page: Page) -> None:
    at_end(page)
    stage(page, """
        const { Log } = await import(document.querySelector('link[href$="/log.js"]').href);
        const header = structuredClone(stage.log.header);
        header.config.branching.max_paths = stage.log.steps.at(-1).paths.length + 1;
        const log = new Log(header);
        for (const step of stage.log.steps) log.append(step);
        stage.load(log, { cursor: log.length - 1 });
        stage.fit();
        stage.tryTau(0.02);
        stage.draw();
    """)  # fmt: skip
    settle(page)
    wanted = stage(page, f"return ({VERDICTS})(stage.log, stage.log.length - 1, 0.02)")
    raw = stage(page, """
        const is = (one) => one.factor === 1 && one.normalized_entropy >= 0.02;
        return stage.log.steps.flatMap((step) => step.decisions.filter(is)).length;
    """)  # fmt: skip
    assert len(wanted["gained"]) < raw
    assert page.locator(".fs-tree .fs-node .fs-would").count() == len(wanted["gained"])
    assert sentence_counts(page)[0] == len(wanted["gained"])


# -- folding, hoisting, hiding, sorting ----------------------------------------


@pytest.mark.parametrize("by", ["key", "button"])
def test_a_token_is_folded_and_unfolded(page: Page, by: str) -> None:
    at_end(page)
    node = a_fork(page)
    pin(page, node)
    expect(mark(page, node)).to_have_attribute("aria-expanded", "true")
    button = page.locator(".fs-tool.is-fold").first

    def fold() -> None:
        page.keyboard.press("c") if by == "key" else button.click()

    page.locator(".fs-tree-root").first.focus()
    fold()
    expect(mark(page, node)).to_have_attribute("aria-expanded", "false")
    expect(button).to_have_attribute("aria-pressed", "true")
    below, mass = stage(page, f"return below(stage.log, {node}, stage.log.length - 1)")
    words = page.locator(f'.fs-tree .fs-fold[data-id="{node}"] .fs-fold-words').text_content()
    assert words is not None
    tokens, share = re.fullmatch(r"([\d,]+) tokens · (\d\.\d{3})", words).groups()  # type: ignore[union-attr]
    assert int(tokens.replace(",", "")) == len(below)
    assert float(share) == pytest.approx(mass, abs=5.1e-4)
    assert not set(below) & set(marks(page))
    expect(page.locator(".fs-standing").first).to_contain_text("1 fold")
    fold()
    expect(mark(page, node)).to_have_attribute("aria-expanded", "true")
    assert page.locator(".fs-tree .fs-fold.is-collapsed").count() == 0


def test_a_click_on_a_fold_opens_it_and_capital_c_opens_all(page: Page) -> None:
    at_end(page)
    node = a_fork(page)
    pin(page, node)
    page.locator("body").press("c")
    page.locator(f'.fs-tree .fs-fold[data-id="{node}"] path').click()
    expect(mark(page, node)).to_have_attribute("aria-expanded", "true")
    stage(page, f"stage.shape.collapse({node}); stage.shape.collapse(-1); stage.invalidate()")
    expect(page.locator(".fs-standing").first).to_contain_text("2 folds")
    assert marks(page) == []
    page.locator("body").press("C")
    expect(mark(page, node)).to_have_count(1)
    expect(page.locator(".fs-standing").first).to_be_hidden()


def test_a_fold_counts_what_is_there_at_the_cursor(page: Page) -> None:
    at_end(page)
    node = a_fork(page)
    pin(page, node)
    page.locator("body").press("c")
    born = stage(page, f"return stage.log.nodes[stage.log.nodes[{node}].children[0]].step")
    for step in (born, born + 4):
        stage(page, f"stage.player.seek({step}); stage.draw()")
        below, _ = stage(page, f"return below(stage.log, {node}, {step})")
        words = page.locator(f'.fs-tree .fs-fold[data-id="{node}"] .fs-fold-words')
        expect(words).to_contain_text(f"{len(below)} token")
    stage(page, f"stage.player.seek({born - 1}); stage.draw()")
    assert page.locator(f'.fs-tree .fs-fold[data-id="{node}"]').count() == 0


def test_hoisting_shows_one_subtree_and_says_so_until_all_is_shown_again(page: Page) -> None:
    at_end(page)
    node = a_fork(page)
    pin(page, node)
    page.locator(".fs-tree-root").first.focus()
    page.keyboard.press("h")
    line = page.locator(".fs-standing").first
    tail = stage(page, f"return stage.log.textOf({node}).trim().slice(-10)")
    expect(line).to_contain_text("below “")
    expect(line).to_contain_text(tail)
    stage(page, "stage.tree.fit(true); stage.draw()")
    below, _ = stage(page, f"return below(stage.log, {node}, stage.log.length - 1)")
    assert marks(page) == sorted([node, *below])
    line.get_by_role("button", name="show all").click()
    expect(line).to_be_hidden()
    page.locator("body").press("h")
    expect(line).to_contain_text("below “")
    page.locator("body").press("H")
    expect(line).to_be_hidden()


def test_what_is_pruned_can_be_hidden(page: Page) -> None:
    at_end(page)
    button = page.locator(".fs-tool.is-pruned").first
    assert page.locator(".fs-tree .fs-node.is-dead").count() > 10
    page.locator("body").press("d")
    expect(button).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".fs-tree .fs-node.is-dead")).to_have_count(0)
    stage(page, "stage.tree.fit(true); stage.draw()")
    alive = stage(page, "const dead = stage.log.dead(stage.log.length - 1);"
                        " return [...dead.keys()].filter((id) => !dead[id])")  # fmt: skip
    assert marks(page) == alive
    hidden = stage(page, "return stage.log.nodes.length") - len(alive)
    expect(page.locator(".fs-standing").first).to_contain_text(f"{hidden} pruned tokens hidden")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert page.locator(".fs-tree .fs-node.is-dead").count() > 10


def test_children_are_sorted_by_probability_or_as_they_were_made(page: Page) -> None:
    at_end(page)
    order = """
        const mark = (id) => stage.tree.root.querySelector(`.fs-node[data-id="${id}"]`);
        const y = (id) => Number(mark(id).querySelector('.fs-dot').getAttribute('cy'));
        return stage.log.nodes.filter((node) => node.children.length > 1).map((node) => {
            const ids = [...node.children].sort((a, b) => y(a) - y(b));
            const probs = ids.map((id) => stage.log.nodes[id].prob);
            return probs.every((prob, at) => !at || prob <= probs[at - 1]);
        });
    """
    assert not all(stage(page, order))
    page.locator("body").press("s")
    expect(page.locator(".fs-tool.is-sort").first).to_have_attribute("aria-pressed", "true")
    stage(page, "stage.tree.fit(true); stage.draw()")
    assert all(stage(page, order))
    page.locator(".fs-tool.is-sort").first.click()
    expect(page.locator(".fs-tool.is-sort").first).to_have_attribute("aria-pressed", "false")
    stage(page, "stage.tree.fit(true); stage.draw()")
    assert not all(stage(page, order))


def test_what_is_pinned_stays_where_it_is_when_the_tree_is_laid_out_anew(page: Page) -> None:
    at_end(page)
    node = a_fork(page)
    pin(page, node)
    before = mark(page, node).locator(".fs-dot").bounding_box()
    for key in ("s", "d", "c"):
        page.locator("body").press(key)
        settle(page)
        after = mark(page, node).locator(".fs-dot").bounding_box()
        assert before and after
        assert after["x"] == pytest.approx(before["x"], abs=1)
        assert after["y"] == pytest.approx(before["y"], abs=1), key


def test_placed_nodes_do_not_move_while_a_run_grows(page: Page) -> None:
    moved = stage(page, """
        const { header, steps } = stage.log;
        const before = new Map(), moved = [];
        stage.apply({ run: 'growing', seq: 0, header, steps: steps.slice(0, 6) });
        stage.tree.centre(24, 0, 0.17, true);
        for (let seq = 6; seq < steps.length; seq += 3) {
            stage.apply({ run: 'growing', seq, steps: steps.slice(seq, seq + 3) });
            stage.draw();
            for (const mark of stage.tree.root.querySelectorAll('.fs-node')) {
                const dot = mark.querySelector('.fs-dot'), of = (name) => dot.getAttribute(name);
                const place = [of('cx') ?? of('x'), of('cy') ?? of('y')].join();
                if ((before.get(mark.dataset.id) ?? place) !== place) moved.push(mark.dataset.id);
                before.set(mark.dataset.id, place);
            }
        }
        return [moved, before.size];
    """)  # fmt: skip
    assert moved[0] == []
    assert moved[1] > 100


# -- search and bookmarks ------------------------------------------------------


def test_text_that_runs_over_several_tokens_is_found_counted_and_gone_through(page: Page) -> None:
    at_end(page)
    page.locator("body").press("/")
    box = page.locator(".fs-search").first
    expect(box).to_be_focused()
    query = "the gar"
    wanted = stage(page, f"""
        const ends = new Set();
        for (const leaf of stage.log.nodes.filter((node) => !node.children.length)) {{
            let text = stage.log.promptText();
            for (const id of stage.log.lineage(leaf.id)) {{
                const from = text.length;
                text += stage.log.nodes[id].text;
                const at = text.indexOf('{query}', Math.max(0, from - {len(query) - 1}));
                if (at >= 0 && at + {len(query)} > from) ends.add(id);
            }}
        }}
        return [...ends].sort((a, b) => a - b);
    """)  # fmt: skip
    assert len(wanted) >= 2
    box.fill(query)
    count = page.locator(".fs-search-count").first
    expect(count).to_have_text(f"{len(wanted)} found")
    found = marks(page, ".is-found")
    parents = stage(page, f"return {wanted}.map((id) => stage.log.nodes[id].parent)")
    assert set(found) == {*wanted, *parents}
    box.press("Enter")
    expect(count).to_have_text(f"1 of {len(wanted)}")
    assert stage(page, "return stage.tree.selected") == wanted[0]
    box.press("Shift+Enter")
    expect(count).to_have_text(f"{len(wanted)} of {len(wanted)}")
    settle(page)
    assert stage(page, "return stage.tree.selected") == wanted[-1]
    expect(mark(page, wanted[-1])).to_have_class(re.compile("is-selected"))
    page.locator(".fs-search-step").nth(1).click()
    expect(count).to_have_text(f"1 of {len(wanted)}")
    box.press("Escape")
    expect(count).to_have_text("")
    expect(page.locator(".fs-tree .fs-node.is-found")).to_have_count(0)


def test_going_to_a_match_brings_it_out_of_a_fold_and_in_sight(page: Page) -> None:
    at_end(page)
    stage(page, "stage.shape.collapse(-1); stage.tree.centre(30, 0, 1, true); stage.draw()")
    page.locator(".fs-search").first.fill("garden")
    page.locator(".fs-search").first.press("Enter")
    settle(page)
    chosen = stage(page, "return stage.tree.selected")
    box, tree = (
        mark(page, chosen).locator(".fs-dot").bounding_box(),
        page.locator(".fs-tree-root").first.bounding_box(),
    )
    assert box and tree
    assert tree["x"] <= box["x"] <= tree["x"] + tree["width"]
    assert tree["y"] <= box["y"] <= tree["y"] + tree["height"]


def test_a_search_finds_only_what_is_there_at_the_cursor(page: Page) -> None:
    at_end(page)
    page.locator(".fs-search").first.fill("garden")
    count = page.locator(".fs-search-count").first
    expect(count).to_have_text(re.compile(r"^\d+ found$"))
    first = stage(page, "return stage.log.nodes[Math.min(...stage.shape.found)].step")
    stage(page, f"stage.player.seek({first - 1})")
    expect(count).to_have_text("0 found")
    stage(page, f"stage.player.seek({first})")
    expect(count).to_have_text(re.compile(r"^[1-9]\d* found$"))


def test_bookmarks_carry_a_flag_and_are_gone_to_in_turn(page: Page) -> None:
    at_end(page)
    for node in (4, 40, 90):
        pin(page, node)
        page.locator("body").press("b")
        expect(mark(page, node).locator(".fs-flag")).to_have_count(1)
    expect(page.locator(".fs-standing").first).to_contain_text("3 bookmarks")
    for node in (4, 40, 90, 4):
        page.locator("body").press("B")
        assert stage(page, "return stage.tree.selected") == node
    page.locator(".fs-standing").first.get_by_role("button", name="next").click()
    assert stage(page, "return stage.tree.selected") == 40
    page.locator(".fs-tool.is-flag").first.click()
    expect(mark(page, 40).locator(".fs-flag")).to_have_count(0)
    expect(page.locator(".fs-standing").first).to_contain_text("2 bookmarks")


def test_the_arrow_keys_move_among_what_is_shown_and_open_a_fold(page: Page) -> None:
    at_end(page)
    node = a_fork(page)
    pin(page, node)
    page.locator(".fs-tree-root").first.focus()
    page.keyboard.press("c")
    page.keyboard.press("ArrowRight")
    assert stage(page, "return stage.tree.selected") == stage(
        page, f"return stage.log.nodes[{node}].children[0]"
    )
    expect(mark(page, node)).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("h")
    page.keyboard.press("ArrowLeft")
    assert stage(page, "return stage.tree.selected") == node, "the hoisted token is the root"
    active = page.locator(".fs-tree-root").first.get_attribute("aria-activedescendant")
    assert active == mark(page, node).get_attribute("id")
    expect(mark(page, node)).to_have_attribute("aria-selected", "true")


# -- the map -------------------------------------------------------------------


def test_the_map_is_there_when_something_is_out_of_sight_and_moves_the_view(page: Page) -> None:
    at_end(page)
    host = page.locator(".fs-minimap").first
    expect(host).to_be_hidden()
    stage(page, "stage.tree.centre(4, 0, 1, true)")
    expect(host).to_be_visible()
    painted = page.evaluate(
        """() => { const map = document.querySelector('.fs-map');
            const { data } = map.getContext('2d').getImageData(0, 0, map.width, map.height);
            return data.some((value) => value > 0); }"""
    )
    assert painted
    canvas = page.locator(".fs-map").first
    box = canvas.bounding_box()
    assert box
    page.mouse.move(box["x"] + 20, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] - 20, box["y"] + box["height"] / 2, steps=4)
    page.mouse.up()
    settle(page)
    middle = stage(page, "const { left, right } = stage.tree.window; return (left + right) / 2")
    columns = stage(page, "return stage.tree.layout.columns.length")
    assert middle == pytest.approx(columns * (box["width"] - 20) / box["width"], abs=columns * 0.06)
    canvas.press("ArrowLeft")
    settle(page)
    assert (
        stage(page, "const { left, right } = stage.tree.window; return (left + right) / 2")
        < middle - 1
    )


def test_the_map_can_be_put_away_and_fetched_back(page: Page) -> None:
    at_end(page)
    stage(page, "stage.tree.centre(4, 0, 1, true)")
    toggle = page.locator(".fs-map-toggle").first
    toggle.click()
    expect(page.locator(".fs-map").first).to_be_hidden()
    expect(toggle).to_have_attribute("aria-expanded", "false")
    toggle.click()
    expect(page.locator(".fs-map").first).to_be_visible()


def test_the_sheet_of_keys_names_those_of_the_tools(page: Page) -> None:
    page.locator("body").press("?")
    sheet = page.locator("dialog.fs-dialog[open]")
    for words in (
        "search in the text",
        "fold or unfold the token",
        "next bookmark",
        "hide what is pruned",
    ):
        expect(sheet).to_contain_text(words)
