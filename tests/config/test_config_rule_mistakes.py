"""Mistakes in rules, segments and conditions: named where they stand, with a way out."""

import re

import pytest

from tests.config.rulebook import edited, errors, rules

SCALARS = {
    "plain": "when: segment == 'loyl'",
    "plain on the next line": "when:\n      segment == 'loyl'",
    "plain over lines": "when: has(customer.last_contact_at)\n      && segment == 'loyl'",
    "double quotes": 'when: "segment == \\"loyl\\""',
    "double quotes with a break": "when: \"in_time &&\\\n       segment == 'loyl'\"",
    "single quotes": "when: 'segment == ''loyl'''",
    "folded": "when: >-\n      in_time &&\n\n      segment == 'loyl'",
    "literal": "when: |\n      in_time\n        && segment == 'loyl'\n",
    "after what is not ASCII": "when: contact.id != 'äöü😀' && segment == 'loyl'",
}


@pytest.mark.parametrize("newline", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("kind", SCALARS)
def test_columns_are_those_of_the_file(kind: str, newline: str) -> None:
    text = rules(
        f"  - name: r\n    {SCALARS[kind]}\n    then: {{tier: 1}}\n",
        rest="segments: {loyal: {}}\nconditions: {in_time: local.hour > 8}\n",
    ).replace("\n", newline)
    word = re.compile(r"(''|\\\"|')loyl")
    ((line, column),) = (
        (number, spot.start() + 1)
        for number, each in enumerate(text.split(newline), 1)
        if (spot := word.search(each))
    )
    (found,) = errors(text)
    first, _, caret = found.split("\n")
    place = f"f.yaml:{line}:{column}: rules[0].when: "
    assert first == f"{place}segment is never 'loyl', did you mean 'loyal'?"
    assert caret.strip() == "^^^^^^"


def test_columns_are_right_in_flow_mappings() -> None:
    text = "queues: {care: {}}\nrules: [{name: r, when: contact.chanel == 'sms', then: {tier: 1}}]"
    (found,) = errors(text)
    assert found == (
        "f.yaml:2:33: rules[0].when: contact has no field 'chanel', did you mean 'channel'?\n"
        "    contact.chanel == 'sms'\n"
        "            ^^^^^^"
    )


def test_all_mistakes_are_told_at_once() -> None:
    found = errors("""\
queues:
  care:
    most_waiting: 5
    on_full: {when: queue.waitng > 3, action: callback}
    steps: [{after: 5s, when: "true &&", deflect: Sorry.}]
conditions:
  a: b
  b: a
  c: contact.tier == "x"
segments:
  loyal: {when: segment == "x"}
rules:
  - name: r
    when: contact.chanel == "sms" && c && queues.cara.open
    then: {queue: car, set: {x: {cel: nope}}, schedule: {at: contact.id}}
  - name: r
    then: {tire: 1}
""")
    text = "\n".join(found)
    for part in (
        "f.yaml:4:27: queues.care.on_full.when: queue has no field 'waitng', did you mean",
        "f.yaml:5:39: queues.care.steps[0].when: expected",
        "goes round in a circle: a -> b -> a",
        "f.yaml:9:",
        "f.yaml:11:17: segments.loyal.when: ",
        "f.yaml:14:19: rules[0].when: contact has no field 'chanel', did you mean 'channel'?",
        "f.yaml:14:50: rules[0].when: queues has no 'cara', did you mean 'care'?",
        "rules[0].then.queue: unknown queue 'car', did you mean 'care'?",
        "f.yaml:15:39: rules[0].then.set.x.cel: unknown name 'nope'",
        "f.yaml:15:62: rules[0].then.schedule.at: expected timestamp, got string",
        "rules[1].then: unknown key 'tire', did you mean 'tier'?",
        "rules[1]: 'r' is given twice, first in line 13",
    ):
        assert part in text, (part, text)


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        ("template: offer", "template: ofer", "unknown template 'ofer', did you mean 'offer'?"),
        ("switch_channel: chat", "switch_channel: cat", "unknown channel 'cat', did you mean"),
        ("on: input", "on: inputs", "expected one of received, input, got 'inputs', did you"),
        ("rule_match: all", "rule_match: any", "expected one of first, all, got 'any'"),
        ("at: learned_window", "at: learned_windows", "did you mean 'learned_window'?"),
        ("prefer_agent: {last: 20s}", "prefer_agent: {}", "expected {last: 30s} or {agent: ana"),
        ("for: 30s", "last: 30s", "expected {last: 30s} or {agent: ana, for: 30s}"),
        ("{last: 20s}", "{last: 20}", "got '20' without a unit"),
        ("in_office: local", "in-office: local", "begins with no digit, got 'in-office'"),
        ("local.weekday <= 5", "local.weekday", "expected bool, got int"),
        ("late: {cel: ", "late: {cel: 1, x: ", "expected {cel: ...} alone, got 2 keys"),
        ('"local.hour >= 17"', "now", "expected a value for an attribute (text, number ...), got"),
        ('"local.hour >= 17"', "queue", "got queue"),
        ("{none: 1}", "{none: 0}", "has no arm that anybody would be in"),
        ("name: music", "name: greeting", "'greeting' is given twice"),
        ("watch: false", "deflect: Bye.", "'deflect' and 'queue' exclude each other"),
        ("template: offer\n", "template: ''\n", "expected 1 to 2000 characters"),
        ("        template: offer\n", "", "'schedule' with message_first needs a template"),
        ("schedule: {at:", "mode: agent_first, x: {at:", "has no effect without schedule"),
        ("sms, voice]", "sms, voise]", "unknown channel 'voise', did you mean 'voice'?"),
        ("in_office: local", "now: local", "the name 'now' is taken"),
        ("loyal:\n", "loyal: {}\n  others:\n", "key 'others' is given twice"),
        ("rules: []}", "rule: []}", "expect: unknown 'rule', did you mean 'rules'?"),
        ("{contacts: 7}", "{contact: 7}", "customer has no field 'contact', did you mean"),
        ("given: {at", "gvien: {at", "unknown key 'gvien', did you mean 'given'?"),
    ],
)
def test_a_mistake_is_named_with_a_way_out(old: str, new: str, finding: str) -> None:
    found = errors(edited((old, new)))
    assert any(finding in line for line in found), found
    assert all(re.match(r"f\.yaml:\d+:\d+: ", line) for line in found), found


@pytest.mark.parametrize(
    ("learning", "finding"),
    [
        ("{outcomes: {no_anser: {target: 0%}}}", "unknown outcome 'no_anser', did you mean"),
        ("{dispositions: {sold: answerd}}", "unknown outcome 'answerd', did you mean 'answered'?"),
        ("{dispositions: {solt: answered}}", "no queue has the disposition 'solt', did you mean"),
        ("{outcomes: {short: {target: 0%}, ignored: {target: 0%}}}", "counts as 'short', which is"),
        ("{outcomes: {busy: {target: 0%, weight: 5}}}", "expected 0 to 4, got 5"),
        ("{costs: {voise: 1%}}", "unknown channel 'voise', did you mean 'voice'?"),
        ("{explore: 120%}", "expected a share such as 80%"),
        ("{zone: Europe/Berln}", "did you mean 'Europe/Berlin'?"),
    ],
)
def test_mistakes_in_learning_are_named(learning: str, finding: str) -> None:
    found = errors(f"queues: {{care: {{dispositions: [sold]}}}}\nlearning: {learning}\n")
    assert len(found) == 1
    assert finding in found[0], found


@pytest.mark.parametrize(
    ("limits", "finding"),
    [
        ("[deflect, callback]", "on_full[1]: is never reached: the one before it has no condition"),
        ("[{when: queue.open, action: overflow}]", "on_full[0]: overflow needs a queue"),
        ("[]", "on_full: expected 1 to 20 entries, got 0"),
        ("queue", "is for on_closed only, or needs a condition"),
        ("[{when: '', action: callback}]", "on_full[0].when: expected"),
        ("{when: , action: callback}", "on_full.when: expected an expression, got nothing"),
        ("{when: [a], action: callback}", "on_full.when: expected an expression, got a list"),
    ],
)
def test_mistakes_in_limits_are_named(limits: str, finding: str) -> None:
    found = errors(f"queues: {{care: {{most_waiting: 1, on_full: {limits}}}}}\n")
    assert any(finding in line for line in found), found


def test_more_than_five_hundred_rules_are_refused() -> None:
    many = "".join(f"  - {{name: r{n}, then: {{tier: 1}}}}\n" for n in range(501))
    (found,) = errors(rules(many))
    assert found == "f.yaml:3:3: rules: expected 0 to 500 entries, got 501"


def test_expressions_with_many_mistakes_end_the_search_for_more() -> None:
    queues = "".join(f"  queue-{n}: {{}}\n" for n in range(300))
    wrong = " || ".join(f"queues['quue-{n}'].open" for n in range(150))
    many = "".join(f'  - {{name: r{n}, when: "{wrong}", then: {{tier: 1}}}}\n' for n in range(20))
    found = errors(f"queues:\n{queues}rules:\n{many}")
    assert found[-1] == "f.yaml: ... and 100 more"  # of two rules, not of twenty
