"""Whatever is in the files and the environment, nothing but ConfigError comes out, and no secret shows in it."""

import json
import os
import string
from collections.abc import Mapping
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies

from agi_sms import config, errors, providers
from agi_sms import config_settings as settings
from agi_sms.content import settings as content_settings

PBX = """\
pbx:
  main:
    ari: {url: "http://127.0.0.1:8088", username: gw, password: "${ARI_PASSWORD:-x}"}
    ami: {username: gw, secret: "${AMI_SECRET:-x}"}
"""
NODE = "nodes:\n  a:\n    send_to_caller: true\n    content: {text: Hello}\n"


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


# --- secrets --------------------------------------------------------------------------------------------------

SECRET = "hunter2-Zażółć'\"\\gęślą"
PLACES = [
    'pbx: {main: {ari: {url: "%s", username: a, password: b}}}',
    'pbx: {main: {ari: {url: "http://a:%s@x", username: a, password: b}}}',
    'pbx: {main: {ari: {url: "http://x", username: a, password: {x: "%s"}}}}',
    'pbx: {main: {ari: {url: "http://x", username: a, password: ["%s"]}}}',
    'pbx: {main: {ari: {url: "http://x", username: a, passwort: "%s"}}}',
    'pbx: {main: {ami: {port: "%s", username: a, secret: b}}}',
    'providers: {acme: {type: http, method: POST, url: "%s"}}',
    'providers: {acme: {type: http, method: POST, url: "http://x/", timeout: "%s"}}',
    'providers: {acme: {type: http, method: POST, url: "http://x/", headers: {Authorization: "{{ %s"}}}',
    'providers: {acme: {type: "%s"}}',
    'nodes: {a: {delay: "%s", content: {text: x}}}',
    'nodes: {a: {sender: "%s", content: {text: x}}}',
    'nodes: {a: {recipients: "%s", content: {text: x}}}',
    'nodes: {a: {recipients: "@%s", content: {text: x}}}',
    'nodes: {a: {route: "%s", content: {text: x}}}',
    'nodes: {a: {content: {template: "%s"}}}',
    'nodes: {a: {content: {text: "{{ %s"}}}',
    'nodes: {a: {content: {api: {url: "%s"}}}}',
    'nodes: {a: {content: {api: {url: "https://x/", headers: {"%s": b}}}}}',
    'nodes: {a: {content: {api: {url: "https://x/", response: json, message: "%s"}}}}',
    'nodes: {a: {content: {api: {url: "https://x/", response: xml, message: "%s"}}}}',
    'nodes: {a: {content: {api: {url: "https://x/", timeout: "%s"}}}}',
    'log: {level: "%s"}',
    'time_zone: "%s"',
]


def leaks(found: list[str], secret: str) -> bool:
    whole = "\n".join(found).casefold()
    forms = {secret.casefold(), repr(secret)[1:-1].casefold(), ascii(secret)[1:-1].casefold()}
    return any(form[at : at + 8] in whole for form in forms for at in range(max(1, len(form) - 7)))


@pytest.mark.parametrize("place", PLACES)
def test_a_secret_from_the_environment_never_shows(tmp_path: Path, place: str) -> None:
    found = mistakes(tmp_path, place.replace("%s", "${SMS_TOKEN}") + "\n", {"SMS_TOKEN": SECRET})
    assert found
    assert not leaks(found, SECRET), found


@pytest.mark.parametrize("key", ["password", "secret", "api_key", "Authorization", "token"])
@pytest.mark.parametrize("shape", ["{key}: *{secret}", "{key}: !{secret} x", '{key}: "\\{secret}', "{key}: [{secret}"])
def test_a_broken_line_does_not_show_the_secret_in_it(tmp_path: Path, key: str, shape: str) -> None:
    found = mistakes(tmp_path, "providers:\n  acme:\n    " + shape.format(key=key, secret="qhunter2hunter2") + "\n")
    assert found
    assert not leaks(found, "hunter2hunter2"), found


# no letters that mistakes are written with: a secret is not betrayed where its characters stand by chance
NO_WORDS = strategies.characters(
    codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters=string.ascii_letters
)


@hypothesis.given(
    secret=strategies.text(NO_WORDS, min_size=8, max_size=60),
    place=strategies.sampled_from(PLACES),
    environment=strategies.booleans(),
)
@hypothesis.settings(
    max_examples=60, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)
def test_no_secret_leaks(tmp_path: Path, secret: str, place: str, environment: bool) -> None:
    hypothesis.assume(len(set(secret)) > 5)
    values = {"SMS_TOKEN": secret} if environment else {"SMS_TOKEN": "x", "AGI_SMS_PBX__MAIN__AMI__PORT": secret}
    found = mistakes(tmp_path, place.replace("%s", "${SMS_TOKEN}"), values)
    assert not leaks(found, secret), found


# --- whatever is in the files ---------------------------------------------------------------------------------

VOCABULARY = """
    region log level nodes a content text template recipients pbx main ari url providers type http file print path
    routes default groups defaults delay 30s limits per_node 1/1h ${X} ${X:-y} $${ +48600100200 @g true yes ~ <<
    api timeout 3s response xml message $.message /*/message params fields vars sign secret fetch send retries
    on_error fallback hold allow [recipients] private_addresses deny redirects max_size 64KiB https://x/ {{api.x}}
    {{caller}} {%for rules answer headers json form body 0x1f 1e999 .nan retry database spool metrics
"""
WORDS = strategies.sampled_from(VOCABULARY.split())
PARTS = WORDS.map(lambda word: word.upper())
ANY_TEXT = strategies.one_of(WORDS, strategies.text(max_size=20), strategies.text(string.printable, max_size=8))
TREES = strategies.recursive(
    strategies.one_of(ANY_TEXT, strategies.integers(), strategies.floats(), strategies.booleans(), strategies.none()),
    lambda inner: strategies.lists(inner, max_size=3) | strategies.dictionaries(ANY_TEXT, inner, max_size=4),
    max_leaves=25,
)
NAMES = strategies.sampled_from(list(settings.Settings.model_fields))
SECTIONS = strategies.dictionaries(NAMES, TREES, max_size=5)
FUZZ = hypothesis.settings(
    max_examples=150, deadline=None, suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture]
)


def dumped(tree: object) -> str:
    """As YAML: JSON is a part of it."""
    return json.dumps(tree)


def told(found: list[str]) -> None:
    """Every mistake is one printable line that names its file or variable."""
    for mistake in found:
        assert mistake.isprintable()
        assert mistake.startswith(("agi-sms.yaml", "nodes.d", "templates.d", "environment: "))


@FUZZ
@hypothesis.given(data=strategies.one_of(strategies.binary(max_size=200), strategies.text(max_size=200)))
@hypothesis.example("a: &a {<<: *a}")
@hypothesis.example("? - x\n: y")
@hypothesis.example("nodes: {a: {content: {text: '{{ [1][9] }}'}, send_to_caller: true}}")
def test_any_bytes(tmp_path: Path, data: bytes | str) -> None:
    told(mistakes(tmp_path, data, {"X": "1"}))


@FUZZ
@hypothesis.given(tree=SECTIONS, nodes=TREES, template=ANY_TEXT)
def test_any_tree(tmp_path: Path, tree: object, nodes: object, template: str) -> None:
    told(
        mistakes(
            tmp_path,
            dumped(tree),
            {"X": "1"},
            nodes_n=dumped(nodes),
            templates_t=template.encode("utf-8", "replace").decode(),
        )
    )


@FUZZ
@hypothesis.given(
    names=strategies.dictionaries(strategies.lists(PARTS, min_size=1, max_size=5).map(tuple), ANY_TEXT, max_size=4)
)
def test_any_environment(tmp_path: Path, names: dict[tuple[str, ...], str]) -> None:
    environ = {f"AGI_SMS_{'__'.join(parts)}": value for parts, value in names.items()}
    told(mistakes(tmp_path, PBX + NODE, environ))


@FUZZ
@hypothesis.given(
    content=strategies.dictionaries(ANY_TEXT, TREES, max_size=3),
    api=strategies.dictionaries(strategies.sampled_from(list(content_settings.Api.model_fields)) | ANY_TEXT, TREES),
)
def test_any_api(tmp_path: Path, content: dict[str, object], api: dict[str, object]) -> None:
    node = {"send_to_caller": True, "content": content | {"api": {"url": "https://x/"} | api}}
    told(mistakes(tmp_path, dumped({"nodes": {"a": node}})))


@FUZZ
@hypothesis.given(
    kind=strategies.sampled_from(sorted(providers.REGISTRY)), tree=strategies.dictionaries(ANY_TEXT, TREES)
)
def test_any_provider(tmp_path: Path, kind: str, tree: dict[str, object]) -> None:
    told(mistakes(tmp_path, dumped({"providers": {"p": tree | {"type": kind}}})))
