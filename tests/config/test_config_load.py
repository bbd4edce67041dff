"""A whole file: what comes out of it, and every kind of mistake with its place and a way out."""

import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from router.config import Config, load, loads
from router.core.commands import PutAgent, SetPresence, SubmitContact
from router.core.engine import Engine
from router.core.events import ContactOffered
from router.core.model import MINUTE_US, SECOND_US, AgentId, ContactId, Presence, QueueId
from router.core.policy import (
    Action,
    ActionKind,
    Decline,
    Full,
    HoursSpan,
    Limit,
    MissAction,
    Policy,
    Queue,
    Step,
    Strategy,
    default_channels,
)
from router.core.schedule import OpenHours
from router.errors import ConfigError

Good = Callable[[str], Config]
CONFIG = Path(__file__).parents[2] / "config"


def errors(text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        loads(text, "f.yaml")
    return caught.value.findings


def test_every_setting_of_a_queue_reaches_the_policy(good: Good, good_text: str) -> None:
    queue = good(good_text).workspaces["north"].policy.queues[QueueId("care")]
    assert queue.hours == "office"
    assert queue.on_closed == Limit(action=Full.OVERFLOW, queue=QueueId("night"))
    assert queue.targets_us == {"voice": 20 * SECOND_US, "fax": 120 * MINUTE_US}
    assert queue.tiers == {"fax": 3}
    assert queue.requirements == (("billing", 6),)
    assert (queue.strategy, queue.fit_weights) == (Strategy.BEST_FIT, {"billing": 2.5})
    assert not queue.rank_first
    assert queue.steps[0] == Step(
        name="first",
        after_us=30 * SECOND_US,
        actions=(
            Action(kind=ActionKind.LOWER, skill="billing", level=3),
            Action(kind=ActionKind.ADD_QUEUE, queue=QueueId("night")),
        ),
        wait_over_us=2 * MINUTE_US,
        eligible_below=2,
        position_over=4,
        otherwise_skip=True,
    )
    assert queue.steps[1].name == "2-after-1m30s"
    assert queue.steps[1].actions == (
        Action(kind=ActionKind.DROP, skill="billing"),
        Action(kind=ActionKind.ADD, skill="english", level=2),
        Action(kind=ActionKind.TIER, tier=0),
        Action(kind=ActionKind.HEAD_START, head_start_us=MINUTE_US),
        Action(kind=ActionKind.MESSAGE, text="Please hold the line."),
        Action(kind=ActionKind.OFFER_CALLBACK, text="May we call you back?"),
    )
    assert queue.steps[2].actions == (Action(kind=ActionKind.SWITCH_CHANNEL, channel="sms"),)
    assert (queue.recheck_us, queue.offer_timeout_us, queue.parallel) == (5_000_000, 12_000_000, 3)
    assert queue.decline == Decline(
        on_miss=MissAction.COOL_DOWN,
        cool_down_us=10 * SECOND_US,
        exclude_after=4,
        bonus_us=5 * SECOND_US,
        offers=9,
        exhausted=Limit(action=Full.CALLBACK),
    )
    assert queue.wrap_up_us == dict.fromkeys([*default_channels(), "fax"], 25 * SECOND_US)
    assert queue.goal == 0.925
    assert (queue.dispositions, queue.require_disposition) == (("solved", "complaint"), True)
    assert (queue.most_waiting, queue.on_full) == (40, Limit(action=Full.DEFLECT))
    assert queue.longest_wait_us == 20 * MINUTE_US
    assert queue.on_late == Limit(action=Full.DEFLECT, text="Please write to us.")
    assert queue.transfer_head_start_us == MINUTE_US
    assert queue.prefer_last_us == 30 * SECOND_US
    assert queue.treatment.every_us == 30 * SECOND_US
    assert (queue.treatment.greeting, queue.treatment.music) == ("Hello.", "jazz")


def test_every_other_setting_reaches_the_policy(good: Good, good_text: str) -> None:
    config = good(good_text)
    north = config.workspaces["north"]
    policy = north.policy
    assert policy.channels["voice"] == msgspec.structs.replace(
        default_channels()["voice"], target_us=15 * SECOND_US
    )
    fax = policy.channels["fax"]
    assert (fax.cost, fax.maximum, fax.parks, fax.interrupts) == (5, 2, True, ("email",))
    entry = policy.entry_points["hotline"]
    assert (entry.channel, entry.queue, entry.address) == ("voice", "care", "+4930555100")
    assert (entry.attributes, entry.requirements) == ({"topic": "billing"}, (("english", 3),))
    assert (entry.brand, entry.language, entry.greeting) == ("Oak", "de-DE", "Welcome.")
    assert (entry.music, entry.texts) == ("oak", {"farewell": "Good-bye."})
    serves = {q.queue: (q.rank, q.delay_us) for q in policy.profiles["care"].queues}
    assert serves == {"care": (1, 0), "night": (2, 20 * SECOND_US)}
    hours = policy.hours["office"]
    assert hours.spans[:1] == (HoursSpan((0, 1, 2, 3, 4), 480, 1080),)
    assert hours.spans[1:] == (HoursSpan((5, 6), 540, 720), HoursSpan((5, 6), 780, 900))
    assert [(day.date, day.spans, day.name) for day in hours.holidays] == [
        ("2026-12-24", ((540, 720),), "Christmas Eve"),
        ("2026-12-25", (), ""),
    ]
    assert (policy.capacity, policy.waiting_places, policy.live_contacts) == (120, 100, 1000)
    assert (policy.hops, policy.turn, policy.lost_after_us) == (9, 50, 20 * SECOND_US)
    assert (policy.callback_attempts, policy.callback_retry_us) == (2, 10 * MINUTE_US)
    assert (policy.grace_us, policy.keep_closed_us) == (2 * SECOND_US, 7 * 1440 * MINUTE_US)
    [ana] = north.agents
    assert (ana.id, ana.name, ana.skills, ana.profile) == ("ana", "Ana", {"billing": 8}, "care")
    assert (ana.capacity, ana.maximum, ana.auto_accept) == (150, {"chat": 2}, ("voice",))
    assert ana.endpoints == {"voice": "PJSIP/ana"}
    assert north.adapters["phones"].channel == "voice"
    assert north.webhooks["crm"].events == ("ContactClosed",)
    server = config.server
    assert (server.port, server.durability, server.log_level) == (8080, "process", "debug")
    assert (server.limits.requests_per_s, server.limits.requests_burst) == (12.5, 100)
    assert server.metrics is not None
    assert (server.metrics.port, server.journal.store) == (9464, "redis")


def test_an_empty_queue_is_the_cores_own_default() -> None:
    policy = loads("queues: {a: {}}\n").workspaces["main"].policy
    assert policy.queues[QueueId("a")] == Queue(id=QueueId("a"))
    expected = Policy(version=policy.version, channels=default_channels(), queues=policy.queues)
    assert policy == expected


def test_one_workspace_may_leave_the_level_out() -> None:
    short = loads("queues: {a: {}}\n", "f.yaml")
    long = loads("workspaces: {main: {queues: {a: {}}}}\n", "f.yaml")
    assert short.workspaces == long.workspaces
    assert short.place("queue", "main", "a") == "f.yaml:1"


def test_the_version_follows_the_meaning_and_nothing_else() -> None:
    first = "# a comment\nqueues:\n  a: {target: 90s, prefer_last: 1m}\n  b: {}\n"
    same = 'queues: {b: {}, a: {prefer_last: 60s, "target": 1m30s}}\n'
    other = "queues: {b: {}, a: {prefer_last: 60s, target: 1m31s}}\n"
    versions = [loads(text).workspaces["main"].policy.version for text in (first, same, other)]
    assert versions[0] == versions[1] != versions[2]


def test_every_named_thing_says_where_it_stands(good: Good, good_text: str) -> None:
    config = good(good_text)
    lines = good_text.split("\n")
    for kind, id_ in (
        ("queue", "night"),
        ("entry_point", "hotline"),
        ("hours", "office"),
        ("profile", "care"),
        ("channel", "fax"),
        ("agent", "ana"),
        ("adapter", "phones"),
        ("webhook", "crm"),
    ):
        place = config.place(kind, "north", id_)
        assert place is not None, kind
        file, line = place.rsplit(":", 1)
        assert file == config.name
        assert lines[int(line) - 1].strip() == f"{id_}:"
    assert config.place("queue", "north", "none") is None
    assert config.place("queue", "nowhere", "care") is None
    assert config.place("contact", "north", "care") is None


def test_five_errors_come_in_one_go_in_the_order_of_the_file() -> None:
    text = """\
queues:
  billing: {strategy: best_fti, hours: offce}
  care:
    target: 20
    reqire: {english: 11}
hours:
  office: {zone: Europe/Berln, open: {mon-fri: 08:00-18:00}}
"""
    assert errors(text) == [
        "f.yaml:2:23: queues.billing.strategy: expected one of longest_idle, least_loaded, "
        "best_fit, keep_specialists, round_robin, ordered, got 'best_fti', did you mean "
        "'best_fit'?",
        "f.yaml:2:40: queues.billing.hours: unknown hours 'offce', did you mean 'office'?",
        "f.yaml:4:13: queues.care.target: expected a length of time such as 20s, 5m, 4h or 2d, "
        "got '20' without a unit",
        "f.yaml:5:5: queues.care: unknown key 'reqire', did you mean 'require'?",
        "f.yaml:7:18: hours.office.zone: expected an IANA time zone such as Europe/Berlin, got "
        "'Europe/Berln', did you mean 'Europe/Berlin'?",
    ]


def test_a_broken_queue_does_not_make_its_name_unknown() -> None:
    text = "queues: {a: {strategy: x}}\nprofiles: {p: {a: 1}}\nagents: {u: {profile: p}}\n"
    assert len(errors(text)) == 1


CROSS = [
    ("queues: {a: {target: 0}}", "1:22: queues.a.target: must be at least 100ms"),
    ("queues: {a: {target: -5s}}", "not below zero, got '-5s'"),
    ("queues: {a: {target: {vioce: 5s}}}", "unknown channel 'vioce', did you mean 'voice'?"),
    ("queues: {a: {require: {x: 0}}}", "queues.a.require.x: expected 1 to 10, got 0"),
    ("queues: {a: {require: {x: 11}}}", "queues.a.require.x: expected 1 to 10, got 11"),
    ("queues: {a: {require: {x: 5.5}}}", "expected a whole number, got '5.5'"),
    ("queues: {a: {tier: -1}}", "expected 0 to 99, got -1"),
    ("queues: {a: {rank_first: yes}}", "expected true or false, got 'yes'"),
    ("queues: {a: {rank_first: 'true'}}", "expected true or false, got 'true'"),
    ("queues: {a: {offer: {timeout: 0}}}", "queues.a.offer.timeout: must be at least 100ms"),
    ("queues: {a: {offer: {parallel: 0}}}", "expected 1 to 20, got 0"),
    ("queues: {a: {on_full: deflect}}", "on_full: has no effect without most_waiting"),
    ("queues: {a: {on_late: deflect}}", "on_late: has no effect without longest_wait"),
    ("queues: {a: {on_closed: deflect}}", "on_closed: has no effect without hours"),
    ("queues: {a: {most_waiting: 1, on_full: overflow}}", "on_full: overflow needs a queue"),
    ("queues: {a: {most_waiting: 1, on_full: queue}}", "is for on_closed only"),
    ("queues: {a: {goal: 0%}}", "queues.a.goal: expected a share such as 80%"),
    ("queues: {a: {goal: 0.8}}", "expected a share such as 80%, over 0% and up to 100%, got '0.8'"),
    ("queues: {a: {goal: 101%}}", "got '101%'"),
    ("queues: {a: {require_disposition: true}}", "has no effect without dispositions"),
    ("queues: {a: {dispositions: [x, y, x]}}", "dispositions[2]: 'x' is there twice"),
    (
        f"queues: {{a: {{dispositions: {[f'd{n}' for n in range(51)]}}}}}",
        "dispositions: expected 0 to 50 entries, got 51",
    ),
    ("queues: {a: {dispositions: [not solved]}}", "dispositions[0]: expected"),
    (
        "queues: {a: {most_waiting: 1, on_full: {queue: a}}}",
        "on_full.queue: has no effect with action: deflect",
    ),
    (
        "queues: {a: {most_waiting: 1, on_full: {action: overflow, queue: a}}}",
        "on_full.queue: overflow goes in a circle: a -> a",
    ),
    (
        "queues:\n  a: {steps: [{after: 1m, overflow: b}]}\n"
        "  b: {longest_wait: 1m, on_late: {action: overflow, queue: c}}\n"
        "  c: {decline: {exhausted: {action: overflow, queue: a}}}",
        "4:47: queues.c.decline.exhausted.queue: overflow goes in a circle: a -> b -> c -> a",
    ),
    ("queues: {a: {steps: [{after: 1m}]}}", "steps[0]: does nothing: give one of lower, drop"),
    ("queues: {a: {steps: [{lower: {x: 1}}]}}", "steps[0]: 'after' is missing"),
    (
        "queues: {a: {steps: [{after: 1m, tier: 0}, {after: 30s, tier: 1}]}}",
        "steps[1].after: steps must stand in the order of their times",
    ),
    (
        "queues: {a: {require: {x: 4}, steps: [{after: 1m, lower: {x: 4}}]}}",
        "steps[0].lower.x: expected less than 4, got 4",
    ),
    (
        "queues: {a: {require: {x: 4}, steps: [{after: 1m, lower: {x: 2}}, "
        "{after: 2m, lower: {x: 3}}]}}",
        "steps[1].lower.x: expected less than 2, got 3",
    ),
    (
        "queues: {a: {steps: [{after: 1m, lower: {x: 2}, drop: [x]}]}}",
        "lower.x: the same step drops this skill",
    ),
    (
        "queues: {a: {steps: [{after: 1m, overflow: b, deflect: bye}]}, b: {}}",
        "deflect: cannot be in one step with overflow",
    ),
    (
        "queues: {a: {steps: [{after: 1m, deflect: bye}, {after: 2m, tier: 1}]}}",
        "steps[1]: is never reached",
    ),
    (
        "queues: {a: {steps: [{after: 1m, name: n, tier: 1}, {after: 2m, name: n, tier: 2}]}}",
        "steps[1].name: 'n' is given twice",
    ),
    ("queues: {a: {steps: [{after: 1m, add_queues: [a]}]}}", "add_queues[0]: is this queue itself"),
    ("queues: {a: {steps: [{after: 1m, switch_channel: fax}]}}", "unknown channel 'fax'"),
    ("queues: {a: {fit_weights: {x: 2}}}", "has no effect without strategy: best_fit"),
    ("queues: {a: {treatment: {text: hi}}}", "treatment.text: has no effect without every"),
    ("queues: {a: {treatment: {every: 9s}}}", "treatment.every: has no effect without text"),
    ("queues: {a: {treatment: {every: 9s, text: '{pos}'}}}", "or {wait_minutes}, got '{pos}'"),
    ("queues: {'a b': {}}", "expected a name of at most 64 letters"),
    ("queues: {a: }", "queues.a: expected a value, got nothing"),
    ("queues:", "queues: expected a value, got nothing"),
    ("queues: [a]", "queues: expected a mapping, got a list"),
    ("queues: {a: x}", "queues.a: expected settings, got the value 'x'"),
    ("channels: {fax: {cost: 5}}", "channels.fax: 'maximum' is missing: fax is no built-in"),
    ("channels: {voice: {cost: 101}}", "voice costs 101 units, but an agent has 100"),
    ("capacity: 50", "1:1: capacity: voice costs 100 units, but an agent has 50"),
    ("channels: {voice: {park_after: 5m}}", "park_after: needs parks: true"),
    ("channels: {voice: {interrupts: [voice]}}", "interrupts[0]: 'voice' cannot stand here"),
    ("channels: {email: {interrupts: [voice]}}", "email and voice interrupt each other"),
    ("hours: {h: {open: {}}}", "hours.h.open: never opens"),
    ("hours: {h: {open: {mon: closed}}}", "hours.h.open: never opens"),
    ("hours: {h: {}}", "hours.h: 'open' is missing"),
    ("hours: {h: {open: {mon-fry: 08:00-09:00}}}", "expected days such as mon-fri"),
    (
        "hours: {h: {open: {mon: 8-17}}}",
        "expected times such as 08:00-17:30, or closed, got '8-17'",
    ),
    ("hours: {h: {open: {mon: 08:60-09:00}}}", "expected times from 00:00 to 24:00"),
    ("hours: {h: {open: {mon: 08:00-08:00}}}", "expected a start and another end"),
    ("hours: {h: {open: {mon: '08:00-10:00, 09:59-11:00'}}}", "on mon overlap at 09:59"),
    ("hours: {h: {open: {sun: 22:00-02:00, mon: 01:00-03:00}}}", "on mon overlap at 01:00"),
    (
        "hours: {h: {open: {mon: 08:00-09:00}, holidays: {2027-02-29: closed}}}",
        "expected a date such as 2027-12-25, got '2027-02-29'",
    ),
    (
        "hours: {h: {open: {mon: 08:00-09:00}, holidays: {2027-02-28: 22:00-02:00}}}",
        "holidays.2027-02-28: times of a single date cannot go past midnight",
    ),
    ("entry_points: {e: {channel: voice}}", "entry_points.e: 'queue' is missing"),
    ("entry_points: {e: {channel: voice, queue: a}}", "unknown queue 'a': queues is empty"),
    (
        "queues: {a: {}}\nentry_points:\n  e: {channel: sms, queue: a, address: x}\n"
        "  f: {channel: sms, queue: a, address: x}",
        "4:31: entry_points.f.address: sms 'x' is entry point 'e' already",
    ),
    (
        "queues: {a: {}}\nentry_points: {e: {channel: sms, queue: a, attributes: {zip: 01234}}}",
        "attributes.zip: '01234' may be a number or a text: put it in quotes",
    ),
    ("queues: {a: {}}\nprofiles: {p: {a: 0}}", "profiles.p.a: expected 1 to 99, got 0"),
    ("profiles: {p: {}}", "profiles.p: expected 1 to 1000 entries, got 0"),
    ("agents: {u: {profile: p}}", "unknown profile 'p': profiles is empty"),
    ("agents: {u: {id: x, profile: p}}", "unknown key 'id'"),
    (
        "queues: {a: {}}\nprofiles: {p: {a: 1}}\nagents: {u: {profile: p, endpoints: {sms: x}}}",
        "endpoints.sms: sms has no media (media: true)",
    ),
    ("adapters: {x: {type: loopback}}", "adapters.x: 'channel' is missing"),
    ("adapters: {sms: {type: smpp, password: hunter2}}", "password: secrets stand in files: give"),
    ("adapters: {sms: {type: smpp, auth: {api_key: x}}}", "auth.api_key: secrets stand in files"),
    ("webhooks: {w: {url: 'ftp://x', secret_file: s}}", "expected a URL such as https://"),
    ("webhooks: {w: {url: 'https://x', secret_file: nowhere}}", "No such file or directory"),
    (
        "webhooks: {w: {url: 'https://u:hunter2@x', secret_file: s}}",
        "expected a URL without a password",
    ),
    (
        "webhooks: {w: {url: 'https://x', secret_file: s, events: [ContactClosd]}}",
        "unknown event 'ContactClosd', did you mean 'ContactClosed'?",
    ),
    ("server: {port: 0}", "server.port: expected 1 to 65535, got 0"),
    ("server: {port: '80'}", "server.port: expected a whole number, got '80'"),
    ("server: {metrics: {port: 8080}}", "8080 is the main listener's port"),
    (
        "server: {journal: {store: redis}}",
        "server.journal: store: redis needs a url, sentinels or a cluster",
    ),
    ("server: {journal: {user: x, replicas: 1}}", "replicas: has no effect without store: redis"),
    (
        "server: {journal: {store: redis, url: 'redis://x', cluster: ['x:1']}}",
        "cluster: has no effect beside url: give one of them",
    ),
    (
        "server: {journal: {store: redis, sentinels: ['x:1']}}",
        "sentinels: expected master, too",
    ),
    (
        "server: {journal: {store: redis, url: 'redis://x', master: x}}",
        "master: has no effect without sentinels",
    ),
    (
        "server: {journal: {store: redis, cluster: ['redis://x:1']}}",
        "expected host:port such as 10.0.0.1:6379",
    ),
    (
        "server: {journal: {store: redis, sentinels: ['x'], master: m}}",
        "expected host:port such as 10.0.0.1:6379",
    ),
    (
        "server: {journal: {store: redis, url: 'rediss://x', ca_file: no.pem}}",
        "ca_file: cannot read",
    ),
    (
        "server: {journal: {store: redis, url: 'rediss://x', private_key_file: redis.secret}}",
        "private_key_file: has no effect without certificate_file",
    ),
    ("server: {journal: {url: 'redis://x'}}", "url: has no effect without store: redis"),
    ("server: {trusted_proxies: [10.0.0.1/8]}", "server.trusted_proxies[0]: expected an address"),
    ("server: {allowed_origins: ['https://x/']}", "expected an origin without a path"),
    ("workspaces: {a: {}}\nqueues: {}", "2:1: 'queues' belongs into a workspace"),
    ("workspaces: {}", "workspaces: expected workspaces by name"),
    ("workspaces: {a/b: {}}", "expected a name of letters, digits"),
    ("workspaces: {a: {}, A: {}}", "differs from another workspace only by upper and lower case"),
    (
        "workspaces:\n  a: {adapters: {sms: {type: x}}}\n  b: {adapters: {sms: {type: x}}}",
        "3:18: workspaces.b.adapters.sms: workspace 'a' has an adapter 'sms' too",
    ),
    ("quues: {}", "1:1: unknown key 'quues', did you mean 'queues'?"),
    ("tokens: {}", "1:1: unknown key 'tokens': known here are server, workspaces"),
    ("just a text", "expected settings (key: value), got something else"),
]


@pytest.mark.parametrize(("text", "finding"), CROSS)
def test_what_cannot_be_meant_is_refused_in_words(text: str, finding: str) -> None:
    found = errors(text)
    assert any(finding in line for line in found), found
    assert all(re.match(r"f\.yaml:\d+:\d+: ", line) for line in found)
    assert "hunter2" not in str(found)


def test_hours_past_midnight_are_cut_where_the_day_ends() -> None:
    policy = loads("hours: {h: {open: {fri-sun: 22:00-02:00}}}").workspaces["main"].policy
    assert policy.hours["h"].spans == (
        HoursSpan((4, 5, 6), 1320, 1440),
        HoursSpan((5, 6, 0), 0, 120),
    )
    hours = OpenHours(policy.hours["h"])
    monday_1am_us = (3 + 1) * 1440 * MINUTE_US + 60 * MINUTE_US  # 1970-01-05 was a Monday
    assert hours.is_open(monday_1am_us)
    assert not hours.is_open(monday_1am_us + 60 * MINUTE_US)


def test_channels_that_no_longer_park_lose_what_belongs_to_it() -> None:
    policy = loads("channels: {chat: {parks: false}}").workspaces["main"].policy
    chat = policy.channels["chat"]
    assert (chat.parks, chat.park_after_us, chat.close_after_us) == (False, 0, 0)


def test_texts_stay_as_written_where_a_text_is_expected() -> None:
    text = "queues: {a: {on_late: {text: no}, longest_wait: 1m}}\n"
    assert loads(text).workspaces["main"].policy.queues[QueueId("a")].on_late.text == "no"
    entry = "queues: {a: {}}\nentry_points: {no: {channel: sms, queue: a, address: +4930555}}\n"
    policy = loads(entry).workspaces["main"].policy
    assert policy.entry_points["no"].address == "+4930555"


def test_a_file_that_is_not_there_is_a_finding(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nothing\.yaml: cannot be read: No such file"):
        load(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load(tmp_path)


def test_a_file_of_5400_lines_is_read_whole() -> None:
    text = "queues:\n"
    for number in range(450):
        text += f"  q{number}:\n    target: {{voice: 20s}}\n    require: {{s: 9}}\n    steps:\n"
        for step in (1, 2, 3, 4):
            text += f"      - after: {step}m\n        lower: {{s: {9 - step}}}\n"
    assert text.count("\n") == 5_401
    policy = loads(text).workspaces["main"].policy
    assert len(policy.queues) == 450
    assert all(len(queue.steps) == 4 for queue in policy.queues.values())


def test_a_long_circle_is_shown_by_its_end() -> None:
    queue = "  q{a}: {{most_waiting: 1, on_full: {{action: overflow, queue: q{b}}}}}\n"
    text = "queues:\n" + "".join(queue.format(a=n, b=(n + 1) % 3_000) for n in range(3_000))
    [finding] = errors(text)
    assert finding.endswith(
        "circle: q0 -> ... -> q2992 -> q2993 -> q2994 -> q2995 -> q2996 -> "
        "q2997 -> q2998 -> q2999 -> q0"
    )


def test_thousands_of_unknown_names_do_not_hold_up_the_loop() -> None:
    names = "".join(f"  queue-number-{n}: {{}}\n" for n in range(2_000))
    wrong = "".join(f"  p{n}: {{queu-number-{n}: 1}}\n" for n in range(2_000))
    found = errors(f"queues:\n{names}profiles:\n{wrong}")
    hints = [line for line in found if "did you mean" in line]
    assert hints[0].endswith("unknown queue 'queu-number-0', did you mean 'queue-number-0'?")
    assert len(hints) == 50  # each costs up to 400 comparisons, so their number is bounded
    assert found[-1] == "f.yaml: ... and 1800 more"


def test_the_demo_shows_the_product_in_sixty_lines() -> None:
    path = CONFIG / "demo.yaml"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
    demo = load(path).workspaces["main"]
    assert {adapter.channel for adapter in demo.adapters.values()} == set(default_channels())
    assert {entry.channel for entry in demo.policy.entry_points.values()} == set(default_channels())
    assert len({queue.strategy for queue in demo.policy.queues.values()}) >= 4
    assert len(demo.agents) == 8
    served = {q.queue for agent in demo.agents for q in demo.policy.profiles[agent.profile].queues}
    assert served == set(demo.policy.queues)
    entered = {entry.queue for entry in demo.policy.entry_points.values()}
    assert entered == set(demo.policy.queues)


def test_the_shop_with_a_rule_book_is_the_shop_of_the_demo() -> None:
    plain = load(CONFIG / "demo.yaml").workspaces["main"]
    ruled = load(CONFIG / "loyalty.yaml").workspaces["main"]
    assert ruled.adapters == plain.adapters
    assert ruled.agents == plain.agents
    assert ruled.policy.profiles == plain.policy.profiles
    places = [
        {name: (each.channel, each.address, each.queue) for name, each in points.items()}
        for points in (plain.policy.entry_points, ruled.policy.entry_points)
    ]
    assert places[0] == places[1]
    book = ruled.policy.rules
    assert [each.name for each in book.segments] == ["complaining", "loyal", "passive", "floating"]
    assert "sms-people-on-their-hour" in [rule.name for rule in book.rules]
    assert len(ruled.tests) >= 6
    assert ruled.warnings == ()


def test_the_engine_runs_the_demo_from_every_entry_point() -> None:
    demo = load(CONFIG / "demo.yaml").workspaces["main"]
    now_us = 1_795_600_800_000_000  # a Wednesday, 11:00 in Berlin
    for entry in demo.policy.entry_points.values():
        engine = Engine(demo.policy)
        for agent in demo.agents:
            made = PutAgent(agent=AgentId(agent.id), skills=agent.skills, profile=agent.profile)
            engine.handle(made, now_us)
            engine.handle(SetPresence(agent=AgentId(agent.id), presence=Presence.READY), now_us)
        engine.advance(now_us)
        arrival = SubmitContact(contact=ContactId("c"), channel=entry.channel, entry_point=entry.id)
        events = engine.handle(arrival, now_us).events
        assert any(isinstance(event, ContactOffered) for event in events), (entry.id, events)
