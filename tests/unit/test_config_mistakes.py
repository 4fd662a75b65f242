"""Each kind of mistake is told once, with its exact line and what would be right."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from agi_sms import config, errors

PBX = """\
pbx:
  main:
    ari: {url: "http://127.0.0.1:8088", username: gw, password: "${ARI_PASSWORD:-x}"}
    ami: {username: gw, secret: "${AMI_SECRET:-x}"}
"""
NODE = "nodes:\n  a:\n    send_to_caller: true\n    content: {text: Hello}\n"
ALONE = "the text alone makes 2 segments (gsm7), more than max_segments: 1; shorten it or raise max_segments"


def mistakes(folder: Path, main: str | bytes, environ: Mapping[str, str] | None = None, **more: str) -> list[str]:
    """What load finds wrong, with paths relative to the folder."""
    data = main if isinstance(main, bytes) else main.encode("utf-8", "surrogatepass")
    (folder / "agi-sms.yaml").write_bytes(data)
    for name, body in more.items():
        kind, _, stem = name.partition("_")
        (folder / f"{kind}.d").mkdir(exist_ok=True)
        (folder / f"{kind}.d" / f"{stem}.{'yaml' if kind == 'nodes' else 'txt'}").write_text(body, encoding="utf-8")
    try:
        config.load(folder / "agi-sms.yaml", environ or {})
    except errors.ConfigError as error:
        return [mistake.replace(f"{folder}{os.sep}", "") for mistake in error.mistakes]
    return []


def node(line: str, *, content: bool = True) -> str:
    """A main file in which `line` stands in line 7."""
    return PBX + f"nodes:\n  a:\n    {line}\n" + ("    content: {text: Hello}\n" if content else "")


def text(content: str) -> str:
    """A main file with a node's content in line 8."""
    return PBX + f"nodes:\n  a:\n    send_to_caller: true\n    content: {content}\n"


YAML = {
    "\tregion: PL\n": "agi-sms.yaml:1: a tab stands where spaces belong; ",
    "log:\n\tlevel: info\n": "agi-sms.yaml:2: a tab stands where spaces belong; ",
    "region: PL\n  log: {}\n": "agi-sms.yaml:2: a second `: ` in one line, or a line indented too far; ",
    "region: PL\nlog: {level: info\n": "agi-sms.yaml:3: is not YAML from here on; ",
    "region: PL\ndatabase: 'x\nlog: {}\n": "agi-sms.yaml:2: a quote is opened here and never closed",
    "a:\n  b:\n    c: 1\n    d: 2\n   e: 3\n": "agi-sms.yaml:5: is not YAML from here on; look for "
    "indentation that differs, or a quote or bracket left open; it does not fit what begins in line 2",
    "region: PL\nregion: DE\n": "agi-sms.yaml:2: region: stands here a second time; the first is in line 1",
    "log:\n  level: info\n  level: info\n": "agi-sms.yaml:3: log.level: stands here a second time; the first is in l",
    "region: *pl\n": "agi-sms.yaml:1: a value that begins with * names an anchor that does not exist; ",
    "region: !pl x\n": "agi-sms.yaml:1: a value that begins with ! is a tag, which is not used here; ",
    "log: !log {}\n": "agi-sms.yaml:1: a value that begins with ! is a tag, which is not used here; ",
    "region: @pl\n": "agi-sms.yaml:1: a value that begins with @, ` or % needs quotes round it",
    "region: {{ x }}\n": 'agi-sms.yaml:1: a value that begins with { or [ needs quotes round it: "{{ ... }}"',
    "log: {level: ${LEVEL}}\n": 'agi-sms.yaml:1: inside { } or [ ], ${NAME} needs quotes round it: "${NAME}"',
    'region: "\\q"\n': 'agi-sms.yaml:1: a backslash inside "..." starts an escape; ',
    'region: "\\ud800"\n': "agi-sms.yaml:1: holds half of a surrogate pair, which is no character",
    "region: PL\nlog: \x01\n": "agi-sms.yaml:2: holds a character that is not allowed in YAML",
    "region: PL\n---\nregion: DE\n": "agi-sms.yaml:2: holds a second document (`---`); one file holds one",
    "- a\n": "agi-sms.yaml:1: must hold `key: value` lines at its top",
    "just words\n": "agi-sms.yaml:1: must hold `key: value` lines at its top",
    "a: " + "[" * 60: "agi-sms.yaml:1: is nested deeper than 40 levels",
    "a: &a [*a]\n": "agi-sms.yaml:1: a value that begins with * names an anchor that does not exist; ",
    "<<: 1\n": "agi-sms.yaml:1: << takes the name of a mapping: ",
}

SETTINGS = {
    "regio: PL\n": "agi-sms.yaml:1: regio: unknown key; did you mean region?",
    "zzzz: PL\n": "agi-sms.yaml:1: zzzz: unknown key; known: agi, concurrency, content, database, ",
    "log:\n  lvl: info\n": "agi-sms.yaml:2: log.lvl: unknown key; did you mean level?",
    "log:\n  level: inf\n": "agi-sms.yaml:2: log.level: must be debug, info, warning or error; did you mean info?",
    "log:\n  reveal: yes\n": "agi-sms.yaml:2: log.reveal: must be true or false, without quotes",
    "log:\n  reveal: 'true'\n": "agi-sms.yaml:2: log.reveal: must be true or false, without quotes",
    "log:\n  reveal: maybe\n": "agi-sms.yaml:2: log.reveal: must be true or false",
    "log:\n  level:\n": "agi-sms.yaml:2: log.level: has no value; must be debug, info, warning or error, or leave th",
    "log: debug\n": "agi-sms.yaml:1: log: must hold keys of its own, ",
    "log: [debug]\n": "agi-sms.yaml:1: log: must hold keys of its own, ",
    "region: pl\n": "agi-sms.yaml:1: region: is no region; did you mean PL?",
    "region: Poland\n": "agi-sms.yaml:1: region: is no region; two letters, like PL or DE",
    "time_zone: Europe/Warszawa\n": "agi-sms.yaml:1: time_zone: is no time zone; did you mean Europe/Warsaw?",
    "time_zone: ../etc/passwd\n": "agi-sms.yaml:1: time_zone: is no time zone; ",
    "hold_budget: 150\n": "agi-sms.yaml:1: hold_budget: '150' is not a duration; write 0 or a number with a unit: ",
    "hold_budget: 1ms\n": "agi-sms.yaml:1: hold_budget: must be from 10ms to 10s",
    "max_age: 0\n": "agi-sms.yaml:1: max_age: must be from 1s to 366d",
    "concurrency: many\n": "agi-sms.yaml:1: concurrency: must be a whole number",
    "concurrency: 1.5\n": "agi-sms.yaml:1: concurrency: must be a whole number",
    "concurrency: 0\n": "agi-sms.yaml:1: concurrency: must be at least 1",
    "concurrency: 1001\n": "agi-sms.yaml:1: concurrency: must be at most 1000",
    "concurrency: 99999999999999999999999999\n": "agi-sms.yaml:1: concurrency: must be ",
    "database: /\n": "agi-sms.yaml:1: database: must be the path of a file",
    "database: [x]\n": "agi-sms.yaml:1: database: must be text",
    "spool: {size: 16 MB}\n": "agi-sms.yaml:1: spool.size: must be a size: a number with KiB, MiB or GiB, like 16MiB",
    "spool: {size: 1KiB}\n": "agi-sms.yaml:1: spool.size: must be at least 1048576",
    "metrics: {listen: localhost}\n": "agi-sms.yaml:1: metrics.listen: must be an address and a port, like ",
    "metrics: {listen: '127.0.0.1:99999'}\n": "agi-sms.yaml:1: metrics.listen: must be an address and a port, like ",
    "retry:\n  jitter: 2\n": "agi-sms.yaml:2: retry.jitter: must be less than 1.0",
    "retry:\n  tries: 2\n": "agi-sms.yaml:2: retry.tries: unknown key; ",
    "region: ${REGION}\n": "agi-sms.yaml:1: region: the environment variable REGION is not set; "
    "set it (a running gateway has those of its start: restart it), or give a default: ${REGION:-...}",
    "region: ${RE GION}\n": "agi-sms.yaml:1: region: ${ begins a variable: write ${NAME}, or $${ for the characters",
    "pbx:\n  main:\n    ari: {url: x, username: a, password: b}\n": "agi-sms.yaml:3: pbx.main.ari.url: ",
    "pbx:\n  main:\n    ari: {username: a, password: b}\n": "agi-sms.yaml:3: pbx.main.ari.url: is missing",
    "pbx:\n  main: {}\n": "agi-sms.yaml:2: pbx.main.ari: is missing: calls reach the gateway over it",
    "pbx:\n  'my pbx': {}\n": "agi-sms.yaml:2: pbx.my pbx: a name has 1 to 64 of the characters",
    PBX
    + "    number_format: e165\n": "agi-sms.yaml:5: pbx.main.number_format: must be e164, e164_no_plus, national or "
    "auto; did you mean e164?",
    PBX + "    trunks:\n      acme: {stripp: 0}\n": "agi-sms.yaml:6: pbx.main.trunks.acme.stripp: unknown key; ",
    PBX + "    strip: ['00', x]\n": "agi-sms.yaml:5: pbx.main.strip[1]: must be the beginning of a number, ",
    PBX + "    prefix: 4 8\n": "agi-sms.yaml:5: pbx.main.prefix: must be the beginning of a number, like 00 or +48",
    "groups:\n  g: ['+48600100200', '12']\n": "agi-sms.yaml:2: groups.g[1]: '12' has neither + nor 00 in front; ",
    "groups:\n  g: ['@h']\n": "agi-sms.yaml:2: groups.g[0]: a group holds numbers only; ",
    "routes:\n  r: [print, acme]\n": "agi-sms.yaml:2: routes.r[1]: there is no provider 'acme'; known: print",
    "routes:\n  r: []\n": "agi-sms.yaml:2: routes.r: must hold at least 1",
    "providers:\n  acme: {url: x}\n": "agi-sms.yaml:2: providers.acme.type: is missing; known: file, ",
    "providers:\n  acme:\n    type: htp\n": "agi-sms.yaml:3: providers.acme.type: there is no such type of provider;",
    "providers:\n  acme:\n    type: [http]\n": "agi-sms.yaml:3: providers.acme.type: there is no such type of provid",
    "providers:\n  acme:\n    type: no.such:Thing\n": "agi-sms.yaml:3: providers.acme.type: provider type 'no.such:T",
    "providers:\n  out:\n    type: file\n    pat: x\n": "agi-sms.yaml:4: providers.out.pat: unknown key; did you ",
    "providers:\n  out:\n    type: file\n    path: no/such/x\n": "agi-sms.yaml:4: providers.out.path: the folder ",
    "providers:\n  out:\n    type: file\n    path: x\n    timeout: 0\n": "agi-sms.yaml:5: providers.out.timeout: ",
}

NODES = {
    node("sender: TOOLONGSENDER"): "agi-sms.yaml:7: nodes.a.sender: 'TOOLONGSENDER' has 13 characters; ",
    node("delay: soon"): "agi-sms.yaml:7: nodes.a.delay: 'soon' is not a duration; write 0 or a number with a unit: ",
    node("delay: 400d"): "agi-sms.yaml:7: nodes.a.delay: '400d' is out of range; at most 366d",
    node("recipients: 12"): "agi-sms.yaml:7: nodes.a.recipients: '12' has neither + nor 00 in front; ",
    node("recipients: {a: b}"): "agi-sms.yaml:7: nodes.a.recipients: must be text",
    node("recipients:"): "agi-sms.yaml:7: nodes.a.recipients: has no value; ",
    node("recipients:\n    - +48600100200\n    - +4812"): "agi-sms.yaml:9: nodes.a.recipients[1]: '+4812' ",
    node("recipients: '+48600100200, x'"): "agi-sms.yaml:7: nodes.a.recipients: 'x' is not a phone number: ",
    node("recipients: '@team'"): "agi-sms.yaml:7: nodes.a.recipients: there is no group 'team'; there are no groups",
    "groups: {teams: []}\n" + node("recipients: '@team'"): "agi-sms.yaml:8: nodes.a.recipients: there is no group "
    "'team'; did you mean teams?",
    node("send_to_caller: yes"): "agi-sms.yaml:7: nodes.a.send_to_caller: must be true or false, without quotes",
    node("caller_countries: XX"): "agi-sms.yaml:7: nodes.a.caller_countries: is no region; two letters, like PL or DE",
    node("caller_countries: [PL, de]"): "agi-sms.yaml:7: nodes.a.caller_countries[1]: is no region; did you mean DE?",
    node("caller_countries: [Any]"): "agi-sms.yaml:7: nodes.a.caller_countries[0]: is no region; did you mean any?",
    node("caller_countries: [PL, any]"): "agi-sms.yaml:7: nodes.a.caller_countries: any stands alone",
    node("caller_countries: []"): "agi-sms.yaml:7: nodes.a.caller_countries: must hold at least 1",
    node("caller_countries: 48"): "agi-sms.yaml:7: nodes.a.caller_countries: is no region; two letters, like PL or DE",
    node("once_per_call: 1"): "agi-sms.yaml:7: nodes.a.once_per_call: must be true or false, without quotes",
    node("transliterate: ja"): "agi-sms.yaml:7: nodes.a.transliterate: must be true or false",
    node("dialplan_recipients: 'no'"): "agi-sms.yaml:7: nodes.a.dialplan_recipients: must be true or false, ",
    node("max_segments: 256"): "agi-sms.yaml:7: nodes.a.max_segments: must be at most 255",
    node("max_age: 2 hours"): "agi-sms.yaml:7: nodes.a.max_age: '2 hours' is not a duration; ",
    node("route: acme"): "agi-sms.yaml:7: nodes.a.route: there is no provider 'acme'; known: print",
    node("route: [print, prnt]"): "agi-sms.yaml:7: nodes.a.route[1]: there is no provider 'prnt'; did you mean print?",
    "routes: {default: print}\n" + node("route: defalt"): "agi-sms.yaml:8: nodes.a.route: there is no route or "
    "provider 'defalt'; did you mean default?",
    node("time_zone: Warsaw"): "agi-sms.yaml:7: nodes.a.time_zone: is no time zone; ",
    node("region: XX"): "agi-sms.yaml:7: nodes.a.region: is no region; ",
    node("limits: {per_recipient: 3}"): "agi-sms.yaml:7: nodes.a.limits.per_recipient: must be a number of messages",
    node("limits: {per_recipient: 3/day}"): "agi-sms.yaml:7: nodes.a.limits.per_recipient: 'day' is not a duration; ",
    node("limits: {per_node: 0/1h}"): "agi-sms.yaml:7: nodes.a.limits.per_node: must allow at least 1 message, ",
    node("limits: {per_call: 1/1h}"): "agi-sms.yaml:7: nodes.a.limits.per_call: unknown key; ",
    node("sendr: ACME"): "agi-sms.yaml:7: nodes.a.sendr: unknown key; did you mean sender?",
    node("delay: 1s", content=False): "agi-sms.yaml:6: nodes.a.content: is missing: write content: {text: ...}, ",
    node("content: {}", content=False): "agi-sms.yaml:7: nodes.a.content: is empty; give it a text or a template, ",
    text("Hello"): "agi-sms.yaml:8: nodes.a.content: must hold keys of its own, ",
    text("{text: A, template: t}"): "agi-sms.yaml:8: nodes.a.content: holds both text and template; keep one of them",
    text("{api: {}}"): "agi-sms.yaml:8: nodes.a.content.api.url: is missing",
    text("{api: https://shop.example/}"): "agi-sms.yaml:8: nodes.a.content.api: must hold keys of its own, ",
    text("{template: t}"): "agi-sms.yaml:8: nodes.a.content.template: there is no template 't' in templates.d; ",
    text("{text: ''}"): "agi-sms.yaml:8: nodes.a.content.text: is empty; an SMS needs a text",
    text("{text: '{{ caller'}"): "agi-sms.yaml:8: nodes.a.content.text: ",
    text("\n      text: '{{ now.strftme() }}'"): "agi-sms.yaml:9: nodes.a.content.text: ",
    text("\n      text: |\n        Hello\n        {{ caller"): "agi-sms.yaml:11: nodes.a.content.text: ",
    text("{text: " + 161 * "x" + "}").replace("    send", "    max_segments: 1\n    send"): "agi-sms.yaml:9: "
    f"nodes.a.content.text: {ALONE}",
    PBX + "nodes:\n  'a b': {content: {text: x}}\n": "agi-sms.yaml:6: nodes.a b: a name has 1 to 64 of the characters",
    PBX + "nodes:\n  a: Hello\n": "agi-sms.yaml:6: nodes.a: must hold keys of its own, ",
    PBX + "defaults:\n  sender: TOOLONGSENDER\n" + NODE: "agi-sms.yaml:6: defaults.sender: 'TOOLONGSENDER' has 13 ",
    PBX + "defaults: {delay: x}\n" + NODE: "agi-sms.yaml:5: defaults.delay: 'x' is not a duration; ",
}  # fmt: skip


@pytest.mark.parametrize(("main", "expected"), [*YAML.items(), *SETTINGS.items(), *NODES.items()])
def test_a_mistake_is_told_once_with_its_line(tmp_path: Path, main: str, expected: str) -> None:
    found = mistakes(tmp_path, main)
    assert len(found) == 1, found
    assert found[0].startswith(expected)


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("AGI_SMS_REGIO", "PL", "unknown key; did you mean region?"),
        ("AGI_SMS_LOG__LEVL", "info", "unknown key; did you mean level?"),
        ("AGI_SMS_LOG__LEVEL", "loud", "must be debug, info, warning or error"),
        ("AGI_SMS_LOG__REVEAL", "yes", "must be true or false, without quotes"),
        ("AGI_SMS_LOG", "[1", "must hold keys of its own, "),
        ("AGI_SMS_CONCURRENCY", "", "must be a whole number"),
        ("AGI_SMS_", "x", "unknown key; "),
        ("AGI_SMS_LOG__", "x", "unknown key; "),
        ("AGI_SMS_NODES__A__DELAY", "x", "'x' is not a duration; "),
        ("AGI_SMS_NODES__A__RECIPIENTS", "[+4812]", "'+4812' "),
        ("AGI_SMS_NODES__A__LIMITS__PER_DAY", "1/1d", "unknown key; "),
    ],
)
def test_mistakes_in_the_environment_name_the_variable(
    tmp_path: Path, variable: str, value: str, expected: str
) -> None:
    (found,) = mistakes(tmp_path, PBX + NODE, {variable: value})
    prefix, _, what = found.partition(variable)
    assert prefix == "environment: "
    assert what.partition(": ")[2].startswith(expected), found


def test_two_variables_that_cannot_stand_together(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, PBX, {"AGI_SMS_REGION": "PL", "AGI_SMS_REGION__X": "1"})
    assert found.startswith("environment: AGI_SMS_REGION__X: cannot stand together with the shorter variable")


def test_every_file_is_looked_at_and_every_mistake_told(tmp_path: Path) -> None:
    found = mistakes(
        tmp_path,
        "regio: PL\n" + PBX + NODE,
        nodes_a="b: {delay: x, content: {template: helo}}\nc: {content: {template: broken}}\n",
        nodes_b="a: {content: {text: x}}\n",
        nodes_c="d: [\n",
        templates_hello="Hello",
        templates_broken="Hello\n{{ caller",
    )
    assert [mistake.split(": ")[:2] for mistake in found] == [
        ["agi-sms.yaml:1", "regio"],
        ["nodes.d/a.yaml:1", "b.delay"],
        ["nodes.d/a.yaml:1", "b.content.template"],
        ["nodes.d/b.yaml:1", "a"],
        [
            "nodes.d/c.yaml:2",
            "is not YAML from here on; look for indentation that differs, or a quote or bracket left open",
        ],
        ["templates.d/broken.txt:2", found[-1].split(": ")[1]],
    ]
    assert "did you mean hello?" in found[2]
    assert found[3].endswith("there is a node of this name already, in agi-sms.yaml:7")


def test_a_template_that_fails_when_rendered_is_told_once_where_it_stands(tmp_path: Path) -> None:
    nodes = "".join(f"{name}: {{send_to_caller: true, content: {{template: t}}}}\n" for name in "abc")
    (found,) = mistakes(tmp_path, PBX, nodes_a=nodes, templates_t="Hello\n{{ now.strftme('%H') }}\n")
    assert found.startswith("templates.d/t.txt:2: ")


def test_the_mistakes_of_a_provider_are_those_of_its_own_settings(tmp_path: Path) -> None:
    found = mistakes(tmp_path, "providers:\n  acme:\n    type: http\n    method: FETCH\n    url: ftp://x\n")
    assert any(mistake.startswith("agi-sms.yaml:4: providers.acme.method: must be ") for mistake in found), found
    assert any(mistake.startswith("agi-sms.yaml:5: providers.acme.url: ") for mistake in found), found


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(errors.ConfigError) as missing:
        config.load(tmp_path / "none.yaml", {})
    assert missing.value.mistakes == (f"{tmp_path}/none.yaml: there is no such file",)
    with pytest.raises(errors.ConfigError) as folder:
        config.load(tmp_path, {})
    assert folder.value.mistakes == (f"{tmp_path}: is no plain file, but a folder, a pipe or a device",)
    with pytest.raises(errors.ConfigError) as odd:
        config.load(Path("a\0b"), {})
    assert "\0" not in str(odd.value)
    assert mistakes(tmp_path, b"region: PL\n# \xff\n") == ["agi-sms.yaml:2: is not UTF-8 text; save the file as UTF-8"]
    too_large = mistakes(tmp_path, "# " + "x" * (1 << 20))
    assert too_large == ["agi-sms.yaml: is too large; at most 1024 KiB, split it into several files"]


def test_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    (found,) = mistakes(tmp_path, "\n".join(lines))
    assert found.endswith("holds more than 200000 values")


def test_what_follows_from_a_mistake_is_not_told(tmp_path: Path) -> None:
    main = """\
pbx:
  main: {ari: {url: "http://x", usrname: a, password: b}, ami: {username: a}}
providers:
  acme: {type: http, url: "https://x/", auth: {basic: {username: a}}}
  odd: {type: htp}
groups: {team: 7}
routes: {both: [print, 7, acme]}
nodes:
  a: {route: both, recipients: "@team", content: {txt: a}}
  b: {route: odd, send_to_caller: true, content: {template: broken}}
"""
    found = mistakes(tmp_path, main, templates_broken="{{")
    assert [mistake.split(": ")[:2] for mistake in found[:-1]] == [
        ["agi-sms.yaml:2", "pbx.main.ari.usrname"],
        ["agi-sms.yaml:2", "pbx.main.ami.secret"],
        ["agi-sms.yaml:4", "providers.acme.auth.basic.password"],
        ["agi-sms.yaml:5", "providers.odd.type"],
        ["agi-sms.yaml:6", "groups.team"],
        ["agi-sms.yaml:7", "routes.both[1]"],
        ["agi-sms.yaml:9", "nodes.a.content.txt"],
    ]
    assert found[-1].startswith("templates.d/broken.txt:1: ")


@pytest.mark.parametrize(
    ("keys", "line", "expected"),
    [
        (["retries: 1", "message: $.x"], 12, "message: a text answer is the message; "),
        (["method: GET", "body: json"], 12, "body: a GET has none, "),
        (["retries: 1", "allow: [sender]"], 12, "allow: only a JSON answer "),
        (["params:", "  call_id: true", "  to_number: from_number"], 13, "params.to_number: from_number is sent as "),
        (["params:", "  call_id: node"], 11, "params.node: node is sent as params.call_id already"),
        (["retries: 1", "fields:", "  a.b: x", "  pbx: x"], 14, "fields.pbx: pbx is sent as params.pbx already"),
        (["params: {pbx: a.b}", "fields:", "  a.b: x"], 13, "fields.a.b: a.b is sent as params.pbx already"),
        (["retries: 1", "vars: [node]"], 12, "vars: node is sent as params.node already"),
        (["headers:", "  X-A: long-value-1", "  x-a: long-value-2"], 13, "headers.x-a: stands there twice; "),
    ],
)
def test_what_is_wrong_between_keys_is_told_at_its_own(
    tmp_path: Path, keys: list[str], line: int, expected: str
) -> None:
    api = "".join(f"        {key}\n" for key in ["url: https://shop.example/", *keys])
    main = PBX + f"nodes:\n  a:\n    send_to_caller: true\n    content:\n      api:\n{api}"
    (found,) = mistakes(tmp_path, main)
    assert found.startswith(f"agi-sms.yaml:{line}: nodes.a.content.api.{expected}")
