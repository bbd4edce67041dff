"""Golden traces come out contact by contact; `--golden DIR` runs other traces of that format."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from router.errors import ConfigError
from router.testing import golden

HERE = Path(__file__).parent.parent / "data" / "golden"


def test_every_contact_fares_as_the_trace_says(golden_file: Path) -> None:
    trace = golden.load_trace(golden_file)
    wrong = golden.differences(trace, golden_file.name)
    assert not wrong, f"{len(wrong)} of {len(trace.rows)} differ\n" + "\n".join(wrong[:5])


def test_the_traces_shipped_hold_24000_contacts() -> None:
    assert sum(len(golden.load_trace(path).rows) for path in HERE.glob("*.json")) == 24_000


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ageing_slope": 0.5}, "model.classes[0].ageing_slope"),
        ({"fqr_share": 0.3}, "model.classes[0].fqr_share"),
        ({"trunk_lines": 30}, "model.trunk_lines"),
        ({"contact_rule": "fqr"}, "model.contact_rule: 'fqr'"),
        ({"agent_rule": "random"}, "model.agent_rule: 'random'"),
        ({"waiting_places": -3}, "model.waiting_places"),
        ({"colour": "red"}, "unknown field `colour`"),
    ],
)
def test_what_the_engine_does_not_do_is_refused_by_file_and_key(
    tmp_path: Path, change: dict[str, object], words: str
) -> None:
    raw = msgspec.json.decode((HERE / "EA-01.json").read_bytes())
    in_class = {"ageing_slope", "fqr_share"} & change.keys()
    (raw["model"]["classes"][0] if in_class else raw["model"]).update(change)
    raw["rows"] = raw["rows"][:3]
    path = tmp_path / "odd.json"
    path.write_bytes(msgspec.json.encode(raw))
    with pytest.raises(ConfigError) as caught:
        golden.translate(golden.load_trace(path).model, str(path))
    assert words in str(caught.value)
    assert "odd.json" in str(caught.value)


def test_levels_that_only_the_agents_choice_sees_do_not_disturb_the_order_of_contacts() -> None:
    """Two classes, one agent better at the second: the first come is still served first."""
    model = golden.Model(
        classes=[golden.ModelClass("x", 1.0), golden.ModelClass("y", 1.0)],
        agent_groups=[
            golden.ModelGroup(
                "g0", 1, {"0": golden.ModelSkill(10.0, level=2), "1": golden.ModelSkill(10.0)}
            ),
            golden.ModelGroup("g1", 1, {"0": golden.ModelSkill(10.0)}),
        ],
        contact_rule="fcfs",
        agent_rule="level_then_longest_idle",
    )
    fates: list[tuple[int, golden.Fate]] = []
    bench = golden.Bench(
        golden.translate(model, "two"), lambda index, _, fate: fates.append((index, fate))
    )
    arrivals = [(0.0, 0), (1.0, 0), (2.0, 0), (3.0, 1), (4.0, 0)]
    bench.run(golden.Arrival(at, cls, 1.0, None) for at, cls in arrivals)
    assert sorted(fates) == [
        (0, golden.Fate("served", 1, 0.0)),
        (1, golden.Fate("served", 0, 1.0)),
        (2, golden.Fate("served", 1, 10.0)),
        (3, golden.Fate("served", 0, 11.0)),
        (4, golden.Fate("served", 1, 20.0)),
    ]
