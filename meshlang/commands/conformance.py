"""`meshlang conformance DIR`: run every script a folder of vendor programs has, and show a scoreboard."""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

from meshlang import files

HELP = "run all programs below a folder that expect the vendor's SDK, and show a scoreboard"
EXAMPLES = """\
examples:
  meshlang conformance csl-examples                      every commands*.sh and run_sim.sh
  meshlang conformance csl-examples/tutorials --arch wse3
  meshlang conformance WaferLLM --arguments "4 16 16 2"  arguments for the run_sim.sh scripts
  meshlang conformance csl-examples --only 'topic-0' -j 2 --json
  meshlang conformance mine --junit results.xml          for a CI service

exit codes: 0 all pass, 1 one did not, 2 usage
"""


LOG = 20_000  # characters of a failed script's output in JUnit XML


@dataclass
class Result:
    """One script. outcome: pass, wrong result, deadlock, unsupported, error, timeout."""

    script: str
    arch: str
    outcome: str
    seconds: float
    cycles: int | None = None
    unsupported: list[str] = field(default_factory=list)
    last_line: str = ""
    exit_code: int = 0
    warnings: dict[str, int] = field(default_factory=dict)  # code -> how many were printed


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", help="the folder to search")
    parser.add_argument("--arch", choices=("wse2", "wse3"), help="only scripts for one architecture")
    parser.add_argument("--only", metavar="REGEX", help="only scripts whose path matches")
    parser.add_argument("--arguments", default="", metavar="ARGS", help="arguments for run_sim.sh scripts")
    parser.add_argument(
        "--timeout", type=float, default=600, metavar="SECONDS", help="end a script after this time (default 600)"
    )
    parser.add_argument("-j", type=int, default=1, metavar="N", help="scripts run side by side (default 1)")
    parser.add_argument("--json", action="store_true", help="the scoreboard as JSON")
    parser.add_argument("--junit", metavar="FILE", help="write the results as JUnit XML too")
    parser.add_argument("--keep-logs", metavar="DIR", help="write what each script printed to files in DIR")


def find_scripts(folder: Path) -> list[Path]:
    found = [*folder.rglob("commands*.sh"), *folder.rglob("run_sim.sh")]
    return sorted(p for p in found if not any(part.startswith(".") for part in p.relative_to(folder).parts))


def arch_of(script: Path) -> str:
    """From the name of the script or of a folder above it (WSE-2, WSE-3), else from the text; wse2 is the compiler's
    default."""
    for part in (script.name, *reversed(script.parts[:-1])):
        m = re.search(r"wse-?([23])", part.lower())
        if m:
            return f"wse{m.group(1)}"
    m = re.search(r"--arch[= ]wse([23])", script.read_text(errors="replace"))
    return f"wse{m.group(1)}" if m else "wse2"


def run_script(root: Path, script: Path, arguments: str, timeout: float) -> tuple[Result, str]:
    """Run one script in a scratch copy of the whole folder (programs share files with their neighbours)."""
    from meshlang.host.sdk.stand_ins import environment, without_placeholders, write_stand_ins

    relative = script.relative_to(root)
    with tempfile.TemporaryDirectory(prefix="meshlang-conformance-") as name:
        scratch = Path(name)
        copy = scratch / "programs"
        shutil.copytree(root, copy, ignore=shutil.ignore_patterns(".git"))
        stand_ins = scratch / "bin"
        stand_ins.mkdir()
        write_stand_ins(stand_ins)
        target = copy / relative
        text = target.read_text(errors="replace")
        target.write_text(without_placeholders(text))
        command = ["bash", target.name, *(arguments.split() if target.name == "run_sim.sh" else [])]
        start = time.monotonic()
        try:
            done = subprocess.run(
                command,
                cwd=target.parent,
                env=environment(stand_ins),
                stdin=subprocess.DEVNULL,
                timeout=timeout,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
            )
            output, code = done.stdout, done.returncode
        except subprocess.TimeoutExpired as e:
            output, code = (
                (e.stdout or b"").decode(errors="replace") if isinstance(e.stdout, bytes) else e.stdout or "",
                -1,
            )
        seconds = time.monotonic() - start
    return judge(str(relative), arch_of(script), output, code, seconds), output


def judge(script: str, arch: str, output: str, code: int, seconds: float) -> Result:
    found = [
        m
        for p in (r"MS0399\]: (.*)", r"MS0922\]: (.*)", r"MS0215\]: there is no library (<[^>]*>)")
        for m in re.findall(p, output)
    ]
    unsupported = sorted(set(found))
    lines = [line for line in output.splitlines() if line.strip()]
    codes = re.findall(r"^warning\[(MS\d{4})\]", output, re.M)
    cycles = re.findall(r"(?i)cycle(?:s| count)[^0-9\n]*([0-9][0-9,]*)", output)
    if code == -1:
        outcome = "timeout"
    elif code == 0:  # some scripts print how their comparison ended, and end well whatever it was
        outcome = "wrong result" if re.search(r"\bFAIL(ED|URE)?\b", output) else "pass"
    elif unsupported:
        outcome = "unsupported"
    elif code == 3 or "MS0860" in output:
        outcome = "deadlock"
    elif "AssertionError" in output:
        outcome = "wrong result"
    else:
        outcome = "error"
    return Result(
        script,
        arch,
        outcome,
        round(seconds, 2),
        int(cycles[-1].replace(",", "")) if cycles else None,
        unsupported,
        lines[-1][:200] if lines else "",
        code,
        {c: codes.count(c) for c in sorted(set(codes))},
    )


def junit(name: str, results: list[Result], outputs: dict[str, str]) -> str:
    """JUnit XML as CI services read it: a test case for each script; what did not pass has the end of what it printed."""
    from xml.etree import ElementTree as xml

    failed = sum(r.outcome != "pass" for r in results)
    seconds = f"{sum(r.seconds for r in results):.2f}"
    suite = xml.Element("testsuite", name=name, tests=str(len(results)), failures=str(failed), errors="0", time=seconds)
    for r in results:
        folder, _, script = r.script.rpartition("/")
        case = xml.SubElement(
            suite, "testcase", classname=folder.replace("/", ".") or name, name=script, time=f"{r.seconds:.2f}"
        )
        if r.outcome != "pass":
            message = f"{r.outcome}: {'; '.join(r.unsupported) or r.last_line}"
            failure = xml.SubElement(case, "failure", type=r.outcome, message=_xml_text(message))
            failure.text = _xml_text(outputs[r.script][-LOG:])
    suites = xml.Element("testsuites", name="meshlang conformance", tests=suite.attrib["tests"], failures=str(failed))
    suites.append(suite)
    xml.indent(suites)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + xml.tostring(suites, encoding="unicode") + "\n"


def _xml_text(text: str) -> str:
    """Without the characters that XML 1.0 has no form for (escape sequences of terminals, say)."""
    return re.sub(r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "\ufffd", text)


def execute(args: argparse.Namespace) -> int:
    from meshlang.diag import usage_error

    from ._outputs import output

    root = Path(args.folder).resolve()
    if not root.is_dir():
        raise usage_error(f"conformance: {args.folder} is not a folder")
    os.listdir(root)  # says what rglob passes over: that the folder may not be read
    if args.junit:
        output("--junit", args.junit)
    if args.keep_logs:
        Path(args.keep_logs).mkdir(parents=True, exist_ok=True)
    scripts = [
        s
        for s in find_scripts(root)
        if (args.arch is None or arch_of(s) == args.arch)
        and (args.only is None or re.search(args.only, str(s.relative_to(root))))
    ]
    if not scripts:
        raise usage_error(f"conformance: no commands*.sh or run_sim.sh below {args.folder} that fits")
    results: list[Result] = []
    outputs: dict[str, str] = {}

    def one(script: Path) -> Result:
        result, output = run_script(root, script, args.arguments, args.timeout)
        outputs[result.script] = output
        if args.keep_logs:
            files.write_text(Path(args.keep_logs) / (result.script.replace("/", "__") + ".log"), output)
        return result

    with ThreadPoolExecutor(max(1, args.j)) as pool:
        for result in pool.map(one, scripts):
            results.append(result)
            if not args.json:
                note = "; ".join(result.unsupported) or ("" if result.outcome == "pass" else result.last_line)
                print(
                    f"{result.outcome:<12} {result.seconds:>7.1f} s  {result.script}{'  ' + note[:140] if note else ''}",
                    flush=True,
                )
    if args.junit:
        files.write_text(args.junit, junit(root.name, results, outputs))
    passed = sum(r.outcome == "pass" for r in results)
    if args.json:
        json.dump(
            {"passed": passed, "failed": len(results) - passed, "results": [asdict(r) for r in results]},
            sys.stdout,
            indent=2,
        )
        print()
    else:
        missing: dict[str, int] = {}
        for r in results:
            for name in r.unsupported:
                missing[name] = missing.get(name, 0) + 1
        if missing:
            print("\nnot supported:")
            for name, n in sorted(missing.items(), key=lambda kv: -kv[1]):
                print(f"  {n:>3} scripts  {name}")
        warned: dict[str, int] = {}
        for r in results:
            for name in r.warnings:
                warned[name] = warned.get(name, 0) + 1
        if warned:
            print(
                "\nwarnings: "
                + ", ".join(f"{name} in {n} script{'s' if n > 1 else ''}" for name, n in sorted(warned.items()))
            )
        print(f"\n{passed} passed, {len(results) - passed} failed")
    return 0 if passed == len(results) else 1
