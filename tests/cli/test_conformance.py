"""The scoreboard, on a folder of scripts of our own."""

from __future__ import annotations

import json

from meshlang.cli import main
from meshlang.commands.conformance import judge


def test_scoreboard(tmp_path, capsys):
    for name, body in {"good": "echo fine", "bad": "echo oops; exit 1", "hang": "sleep 30"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "commands_wse3.sh").write_text(body)
    (tmp_path / "arg").mkdir()
    (tmp_path / "arg" / "run_sim.sh").write_text(
        'test "$1" = 4 && test "$(command -v cslc)" && test -f ../good/commands_wse3.sh'
    )
    code = main(["conformance", str(tmp_path), "--json", "--arguments", "4 5", "--timeout", "2", "-j", "2"])
    found = json.loads(capsys.readouterr().out)
    assert code == 1
    assert {r["script"]: (r["outcome"], r["arch"]) for r in found["results"]} == {
        "arg/run_sim.sh": ("pass", "wse2"),
        "good/commands_wse3.sh": ("pass", "wse3"),
        "bad/commands_wse3.sh": ("error", "wse3"),
        "hang/commands_wse3.sh": ("timeout", "wse3"),
    }
    assert found["passed"] == 2


def test_junit(tmp_path, capsys):
    from xml.etree import ElementTree

    for name, body in {"good": "echo fine", "bad": "printf 'a <b> \\033[1m\\noops'; exit 1"}.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        (tmp_path / "set" / name / "commands_wse3.sh").write_text(body)
    out = tmp_path / "results.xml"
    assert main(["conformance", str(tmp_path / "set"), "--junit", str(out)]) == 1
    suite = ElementTree.parse(out).getroot().find("testsuite")
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    cases = {c.get("classname"): c for c in suite.iter("testcase")}
    assert set(cases) == {"good", "bad"} and cases["good"].find("failure") is None
    failure = cases["bad"].find("failure")
    assert failure.get("type") == "error" and failure.get("message") == "error: oops"
    assert failure.text.startswith("a <b> \N{REPLACEMENT CHARACTER}[1m")
    assert main(["conformance", str(tmp_path / "set"), "--junit", str(tmp_path / "no" / "x.xml")]) == 2


def test_judge():
    assert judge("a", "wse2", "error[MS0399]: switches are not supported yet\n", 1, 1).unsupported == [
        "switches are not supported yet"
    ]
    assert judge("a", "wse2", "error[MS0860]: deadlock at cycle 3\n", 3, 1).outcome == "deadlock"
    assert judge("a", "wse2", "AssertionError: not equal\n", 1, 1).outcome == "wrong result"
    assert judge("a", "wse2", "Mean cycle count: 1,234\n", 0, 1).cycles == 1234
    # the script does not say so itself
    assert judge("a", "wse2", "comparison: FAIL\n", 0, 1).outcome == "wrong result"
    assert judge("a", "wse2", "warning[MS0853]: a\nwarning[MS0853]: b\n", 0, 1).warnings == {"MS0853": 2}


def test_no_scripts(tmp_path, capsys):
    assert main(["conformance", str(tmp_path)]) == 2
    assert main(["conformance", str(tmp_path / "nowhere")]) == 2
