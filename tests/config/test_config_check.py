"""`contact-router check`: rules, their tests and their warnings on the command line."""

from pathlib import Path

from click.testing import CliRunner, Result

from router.__main__ import EXIT_CONFIG, main

FILE = """\
queues: {care: {}, billing: {}}
segments: {loyal: {when: customer.contacts >= 5}}
rules:
  - {name: bills, when: contact.attributes.topic == 'bill', then: {queue: billing}}
  - {name: loyal-bills, when: segment == 'loyal' && contact.attributes.topic == 'bill', then: {tier: 0}}
tests:
  - name: a bill
    given: {contact: {attributes: {topic: bill}}}
    expect: {segment: '', rules: [bills], queue: billing}
"""  # noqa: E501 - as people write it


def check(tmp_path: Path, text: str) -> Result:
    path = tmp_path / "f.yaml"
    path.write_text(text, encoding="utf-8")
    return CliRunner().invoke(main, ["check", str(path)])


def test_a_good_file_says_what_it_holds_and_what_can_hardly_be_meant(tmp_path: Path) -> None:
    result = check(tmp_path, FILE)
    assert result.exit_code == 0
    assert "2 rules, 1 tests passed: good" in result.stdout
    assert f"warning: {tmp_path}/f.yaml:5:5: rules[1]: 'loyal-bills' is never" in result.stderr


def test_a_rule_that_schedules_whoever_comes_is_named_with_its_line(tmp_path: Path) -> None:
    hour = "{name: hour, then: {schedule: learned_window}}"
    result = check(tmp_path, FILE.replace("tests:\n", f"  - {hour}\ntests:\n"))
    assert f"{tmp_path}/f.yaml:6:5: rules[2]: 'hour' 'schedule' has no effect on" in result.stderr


def test_a_failed_test_is_an_error_with_expected_got_and_why(tmp_path: Path) -> None:
    result = check(tmp_path, FILE.replace("[bills], queue: billing", "[bills], queue: care"))
    assert result.exit_code == EXIT_CONFIG
    assert "f.yaml:9:43: tests[0].expect.queue: 'a bill': expected queue 'care', got 'billing'" in (
        result.stderr
    )
    assert "contact.attributes.topic == 'bill' -> true" in result.stderr
    assert result.stdout == ""


def test_an_expression_that_is_wrong_is_shown_with_a_caret(tmp_path: Path) -> None:
    wrong = FILE.replace("bills, when: contact.attributes.topic", "bills, when: contact.topic", 1)
    result = check(tmp_path, wrong)
    assert result.exit_code == EXIT_CONFIG
    assert "f.yaml:4:33: rules[0].when: contact has no field 'topic'" in result.stderr
    assert "    contact.topic == 'bill'\n            ^^^^^" in result.stderr
