"""`make mutation`: small faults are put into the pure files, one at a time; does a test notice each of them?

It runs in a virtual environment of its own, which has mutmut and borrows everything else; see the Makefile. Nothing is
changed in this folder: all of it happens in a copy.
"""

import json
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator

import click
from rich.console import Console
from rich.table import Table

ROOT = pathlib.Path(__file__).resolve().parents[2]
MUTMUT = pathlib.Path(sys.executable).with_name("mutmut")
FILES: dict[str, tuple[str, ...]] = {  # pure files, and the tests that are to notice
    "agi_sms/app_arguments.py": (
        "tests/unit/test_arguments.py",
        "tests/unit/test_dialplan_model.py",
    ),
    "agi_sms/asterisk/agi_header.py": ("tests/unit/test_agi_header.py",),
    "agi_sms/asterisk/arguments.py": ("tests/unit/test_arguments.py",),
    "agi_sms/asterisk/config_answer.py": ("tests/unit/test_config_answer.py",),
    "agi_sms/asterisk/lateness.py": ("tests/unit/test_lateness.py",),
    "agi_sms/breaker.py": ("tests/unit/test_breaker.py",),
    "agi_sms/clock_steps.py": ("tests/unit/test_clock_steps.py",),
    "agi_sms/config_routes.py": ("tests/unit/test_routes.py",),
    "agi_sms/config_words.py": (
        "tests/unit/test_config_words.py",
        "tests/unit/test_config_mistakes.py",
    ),
    "agi_sms/content/reading.py": (
        "tests/unit/test_content_reading.py",
        "tests/unit/test_content_xml.py",
    ),
    "agi_sms/content/request.py": ("tests/unit/test_content_request.py",),
    "agi_sms/content/xml_tree.py": ("tests/unit/test_content_xml.py",),
    "agi_sms/dialplan.py": (
        "tests/unit/test_dialplan_model.py",
        "tests/unit/test_flow_walk.py",
    ),
    "agi_sms/dialplan_calls.py": (
        "tests/unit/test_dialplan_calls.py",
        "tests/unit/test_dialplan_model.py",
        "tests/unit/test_flow_walk.py",
    ),
    "agi_sms/dialplan_listing.py": (
        "tests/unit/test_dialplan_listing.py",
        "tests/unit/test_dialplan_model.py",
        "tests/unit/test_flow_walk.py",
    ),
    "agi_sms/dialplan_places.py": (
        "tests/unit/test_dialplan_model.py",
        "tests/unit/test_flow_walk.py",
    ),
    "agi_sms/doctor_arguments.py": (
        "tests/unit/test_doctor_dialplan.py",
        "tests/unit/test_doctor_words.py",
    ),
    "agi_sms/doctor_dialplan.py": (
        "tests/unit/test_doctor_dialplan.py",
        "tests/unit/test_doctor_modules.py",
        "tests/unit/test_doctor_needs.py",
        "tests/unit/test_doctor_words.py",
    ),
    "agi_sms/doctor_pbx.py": (
        "tests/unit/test_doctor_modules.py",
        "tests/unit/test_doctor_pbx.py",
        "tests/unit/test_doctor_words.py",
    ),
    "agi_sms/durations.py": ("tests/unit/test_durations.py",),
    "agi_sms/echoes.py": ("tests/unit/test_http_mask.py",),
    "agi_sms/flow_layout.py": (
        "tests/unit/test_flow_drawing.py",
        "tests/unit/test_flow_layout.py",
    ),
    "agi_sms/flow_order.py": ("tests/unit/test_flow_order.py",),
    "agi_sms/flow_reach.py": (
        "tests/unit/test_flow_reach.py",
        "tests/unit/test_flow_walk.py",
        "tests/unit/test_flow_warnings.py",
    ),
    "agi_sms/flow_walk.py": (
        "tests/unit/test_flow_readme.py",
        "tests/unit/test_flow_walk.py",
        "tests/unit/test_flow_warnings.py",
    ),
    "agi_sms/flow_words.py": (
        "tests/unit/test_flow_drawing.py",
        "tests/unit/test_flow_walk.py",
        "tests/unit/test_flow_warnings.py",
        "tests/unit/test_flow_words.py",
    ),
    "agi_sms/harmless.py": ("tests/unit/test_plain.py",),
    "agi_sms/http_body.py": ("tests/unit/test_http_body.py",),
    "agi_sms/http_words.py": (
        "tests/unit/test_content_settings.py",
        "tests/unit/test_http_rules.py",
    ),
    "agi_sms/ids.py": ("tests/unit/test_ids.py",),
    "agi_sms/loopback.py": ("tests/unit/test_loopback.py",),
    "agi_sms/message.py": ("tests/unit/test_message.py",),
    "agi_sms/node.py": (
        "tests/unit/test_plan.py",
        "tests/unit/test_resolution.py",
        "tests/unit/test_routes.py",
        "tests/unit/test_when.py",
    ),
    "agi_sms/numbers.py": (
        "tests/unit/test_numbers.py",
        "tests/unit/test_routes.py",
    ),
    "agi_sms/outbox/fates.py": ("tests/contract/test_outbox_fates.py",),
    "agi_sms/plain.py": ("tests/unit/test_plain.py",),
    "agi_sms/plan.py": (
        "tests/unit/test_plan.py",
        "tests/unit/test_resolution.py",
        "tests/unit/test_routes.py",
        "tests/unit/test_when.py",
    ),
    "agi_sms/polling.py": (
        "tests/unit/test_polling_pace.py",
        "tests/contract/test_polling.py",
    ),
    "agi_sms/prices.py": ("tests/unit/test_prices.py",),
    "agi_sms/providers/signatures.py": (
        "tests/unit/test_signatures.py",
        "tests/unit/test_signatures_coverage.py",
    ),
    "agi_sms/providers/smpp_concatenation.py": ("tests/unit/test_smpp_concatenation.py",),
    "agi_sms/providers/smpp_outcomes.py": ("tests/unit/test_smpp_settings.py",),
    "agi_sms/providers/smpp_pace.py": ("tests/unit/test_smpp_pace.py",),
    "agi_sms/providers/smpp_pdus.py": ("tests/unit/test_smpp_pdus.py",),
    "agi_sms/providers/smpp_receipts.py": ("tests/unit/test_smpp_receipts.py",),
    "agi_sms/providers/templates.py": ("tests/unit/test_provider_templates.py",),
    "agi_sms/rates.py": ("tests/unit/test_rates.py",),
    "agi_sms/resolution.py": ("tests/unit/test_resolution.py",),
    "agi_sms/retry.py": ("tests/unit/test_retry.py",),
    "agi_sms/segments.py": ("tests/unit/test_segments.py",),
    "agi_sms/show_why.py": ("tests/unit/test_show_why.py",),
    "agi_sms/templates.py": ("tests/unit/test_text.py",),
    "agi_sms/text.py": ("tests/unit/test_text.py",),
    "agi_sms/writing.py": (
        "tests/unit/test_plan.py",
        "tests/unit/test_resolution.py",
        "tests/unit/test_text.py",
    ),
}
COPIED = (
    "agi_sms",
    "tests",
    "dialplan",
    "config",
    "docker",
    "README.md",
    "CHANGELOG.md",
    "SECURITY.md",
    "pyproject.toml",
)
LEFT_OUT = shutil.ignore_patterns("__pycache__", "results")
SELECTION = "not running_gateway"  # a process of its own runs what is installed, not what was changed
UNHURRIED = "--hypothesis-profile=ci"  # the same examples each time, and slowness is no fault that a test noticed
FRESH = ("-p", "tests.mutation.fresh")
PATIENCE = "timeout=30"  # seconds: what ends no more is noticed then; each of these tests takes a second or so
SHOW = """
import json, sys
from mutmut.mutation.diff_apply import get_diff_for_mutant
print(json.dumps([get_diff_for_mutant(name, path=path) for name, path in json.load(sys.stdin)]))
"""
CAUGHT = frozenset({"killed", "timeout", "segfault", "caught by type check"})


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--least", default=90.0, show_default=True, help="Percent of each file's faults that tests have to notice."
)
@click.option("--jobs", default=2, show_default=True, help="Processes at once.")
@click.option("--show/--no-show", default=True, show_default=True, help="Show each fault that no test noticed.")
@click.argument("files", nargs=-1, type=click.Choice(list(FILES)))
def main(least: float, jobs: int, files: tuple[str, ...], *, show: bool) -> None:
    """Mutation testing of FILES, or of all the pure files. Exit code 1: fewer were noticed than `--least`.

    That is asked of each file. Of what is left, some change nothing that anybody could see; the others want a test.
    """
    console = Console(soft_wrap=True)
    chosen = files or tuple(FILES)
    with tempfile.TemporaryDirectory(prefix="agi-sms-mutation-") as directory:
        copy = pathlib.Path(directory)
        _copy(copy, chosen)
        subprocess.run([MUTMUT, "run", "--max-children", str(jobs)], cwd=copy, check=True)
        fates = _fates(copy)
        if show:
            for told in _differences(copy, [name for name, fate in fates.items() if fate not in CAUGHT]):
                console.print(told, markup=False, highlight=False)
    by_file = {file: Counter[bool]() for file in chosen}
    for name, fate in fates.items():
        by_file[_file(name)][fate in CAUGHT] += 1
    console.print(_table(by_file, least))
    total = sum(by_file.values(), Counter[bool]())
    below = [file for file, counts in by_file.items() if share(counts) < least]
    console.print(f"{total[True]} of {total.total()} noticed: {share(total):.1f} %", highlight=False)
    if below:
        console.print(f"below {least:g} %: {', '.join(below)}", highlight=False)
    sys.exit(1 if below else 0)


def share(counts: "Counter[bool]") -> float:
    """Percent that was noticed; of no faults at all, nothing."""
    return 100 * counts[True] / counts.total() if counts else 0.0


def _copy(directory: pathlib.Path, chosen: tuple[str, ...]) -> None:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, directory / name, ignore=LEFT_OUT)
        else:
            shutil.copy(source, directory / name)
    settings = {
        "source_paths": ["agi_sms"],
        "only_mutate": list(chosen),
        "also_copy": [name for name in COPIED if name not in ("agi_sms", "tests", "pyproject.toml")],
        "pytest_add_cli_args": [
            "-p",
            "no:cacheprovider",
            "-o",
            "addopts=",
            "-o",
            PATIENCE,
            "-k",
            SELECTION,
            UNHURRIED,
            *FRESH,
        ],
        "pytest_add_cli_args_test_selection": list(dict.fromkeys(test for file in chosen for test in FILES[file])),
    }
    with (directory / "pyproject.toml").open("a", encoding="utf-8") as file:
        file.write("\n[tool.mutmut]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items()))


def _fates(directory: pathlib.Path) -> dict[str, str]:
    """What became of each, by its name."""
    told = subprocess.run(
        [MUTMUT, "results", "--all", "true"], cwd=directory, check=True, capture_output=True, text=True
    ).stdout
    return dict(re.findall(r"^\s*(\S+__mutmut_\d+): (.+?)\s*$", told, re.MULTILINE))


def _differences(directory: pathlib.Path, names: list[str]) -> Iterator[str]:
    """What was changed in each; all asked of one process, because `mutmut show` takes a second for one."""
    asked = json.dumps([(name, _file(name)) for name in names])
    told = subprocess.run(
        [sys.executable, "-c", SHOW], cwd=directory, check=True, input=asked, capture_output=True, text=True
    ).stdout
    for name, difference in zip(names, json.loads(told), strict=True):
        lines = [line for line in difference.splitlines() if re.match(r"[-+](?![-+]{2} )", line)]
        yield "\n".join([f"{_file(name)}: {name.rpartition('.')[2]}", *lines, ""])


def _file(name: str) -> str:
    """Where `agi_sms.outbox.fates.x_hear__mutmut_3` is."""
    return name.rpartition(".")[0].replace(".", "/") + ".py"


def _table(by_file: dict[str, "Counter[bool]"], least: float) -> Table:
    table = Table(title="Faults that a test noticed")
    for heading in ("file", "faults", "noticed", "%"):
        table.add_column(heading, justify="left" if heading == "file" else "right")
    for file, counts in by_file.items():
        percent = share(counts)
        style = "" if percent >= least else "bold red"
        table.add_row(file, str(counts.total()), str(counts[True]), f"{percent:.1f}", style=style)
    return table


if __name__ == "__main__":
    main()
