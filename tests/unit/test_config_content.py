"""A node's `content`: which keys go together, what is tried before a call, and what `check` says of it."""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from agi_sms import config, errors, node

URL = "https://shop.example/sms-text"
ENVIRON = {"SHOP_TOKEN": "hunter2hunter2", "SHOP_SECRET": "correct-horse-battery"}


def load(folder: Path, content: object = None, *, templates: str = "", **changed: Any) -> config.Config:
    """A configuration with node `a`; `changed` are keys beside its `content`, or of the whole where those are meant."""
    whole = {key: changed.pop(key) for key in ("defaults", "content_hosts") if key in changed}
    one = {"send_to_caller": True} | changed | ({} if content is None else {"content": content})
    tree: dict[str, Any] = {
        "pbx": {
            "main": {
                "ari": {"url": "http://127.0.0.1:1", "username": "u", "password": "${P:-p}"},
                "ami": {"username": "u", "secret": "${P:-p}"},
            }
        },
        "nodes": {"a": one},
    }
    if "content_hosts" in whole:
        tree["content"] = whole.pop("content_hosts")
    if templates:
        (folder / "templates.d").mkdir(exist_ok=True)
        (folder / "templates.d" / "t.txt").write_text(templates, encoding="utf-8")
    (folder / "agi-sms.yaml").write_text(json.dumps(tree | whole), encoding="utf-8")
    return config.load(folder / "agi-sms.yaml", ENVIRON)


def api(**changed: Any) -> dict[str, Any]:
    return {"url": URL} | changed


def json_api(**changed: Any) -> dict[str, Any]:
    return api(response="json") | changed


def wrong(folder: Path, content: object, **changed: Any) -> list[str]:
    """The mistakes, each without its file and line."""
    with pytest.raises(errors.ConfigError) as caught:
        load(folder, content, **changed)
    return [mistake.partition(": ")[2] for mistake in caught.value.mistakes]


# --- what is compiled -------------------------------------------------------------------------------------------


def test_an_api_alone(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"api": api()})
    one = loaded.nodes["a"]
    assert one.template is None
    assert one.asking == node.Asking(fetch=node.Fetch.ARRIVAL, retries=2, on_error=node.OnError.HOLD)
    assert loaded.sources["a"].url == URL
    assert loaded.details["a"].sized is None
    assert loaded.details["a"].sample == f"(what {URL} answers)"
    assert loaded.warnings == ()


@pytest.mark.parametrize(("key", "value"), [("text", "Hi {{ api.name }}, {{ ORDER }}"), ("template", "t")])
def test_an_api_that_fills_in_a_text(tmp_path: Path, key: str, value: str) -> None:
    loaded = load(tmp_path, {"api": json_api(vars=["SHOP"]), key: value}, templates="Hi {{ api.name }}, {{ ORDER }}\n")
    one, detail = loaded.nodes["a"], loaded.details["a"]
    assert one.template is not None
    assert one.template.render({"api": {"name": "Ann"}, "ORDER": "7"}) == "Hi Ann, 7"
    assert (detail.sized, detail.sample) == (None, "Hi {{ api.name }}, {{ ORDER }}")
    assert detail.variables == ("ORDER", "SHOP")
    assert detail.template == ("t" if key == "template" else "")


def test_a_fallback_is_what_on_error_does_by_default(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"api": api(), "fallback": "Thank you, {{ caller }}"})
    asking = loaded.nodes["a"].asking
    assert asking is not None
    assert asking.on_error is node.OnError.FALLBACK
    assert asking.fallback is not None
    assert asking.fallback.render({"caller": "you"}) == "Thank you, you"
    sized = loaded.details["a"].fallback
    assert sized is not None
    assert sized.text == "Thank you, +48601234567"


def test_every_policy_reaches_the_node(tmp_path: Path) -> None:
    wanted = json_api(fetch="send", retries=0, on_error="skip", allow=["delay", "send"])
    asking = load(tmp_path, {"api": wanted}).nodes["a"].asking
    assert asking == node.Asking(
        fetch=node.Fetch.SEND,
        retries=0,
        on_error=node.OnError.SKIP,
        allow=frozenset({node.Allowed.DELAY, node.Allowed.SEND}),
    )


def test_an_api_in_the_defaults_serves_every_node(tmp_path: Path) -> None:
    loaded = load(tmp_path, defaults={"content": {"api": api(), "fallback": "Sorry"}})
    assert loaded.sources["a"].url == URL
    own = load(tmp_path, {"text": "Hello"}, defaults={"content": {"api": api(), "fallback": "Sorry"}})
    assert own.sources == {}
    assert own.nodes["a"].asking is None


def test_a_node_whose_answer_names_the_recipients_needs_none(tmp_path: Path) -> None:
    assert load(tmp_path, {"api": json_api(allow=["recipients"])}, send_to_caller=False).warnings == ()
    (warning,) = load(tmp_path, {"api": json_api(allow=["send"])}, send_to_caller=False).warnings
    assert "nobody gets its messages" in warning


def test_how_hosts_are_spared(tmp_path: Path) -> None:
    default = load(tmp_path, {"api": api()}).settings.content
    assert (default.concurrency, default.break_after, default.break_for) == (4, 5, timedelta(seconds=30))
    hosts = {"concurrency": 1, "break_after": 2, "break_for": "1m"}
    own = load(tmp_path, {"api": api()}, content_hosts=hosts).settings.content
    assert (own.concurrency, own.break_after, own.break_for) == (1, 2, timedelta(minutes=1))


@pytest.mark.parametrize(
    ("hosts", "expected"),
    [
        ({"concurrency": 0}, "content.concurrency: must be at least 1"),
        ({"concurrency": 101}, "content.concurrency: must be at most 100"),
        ({"break_after": 0}, "content.break_after: must be at least 1"),
        ({"break_after": 1001}, "content.break_after: must be at most 1000"),
        ({"break_for": "999ms"}, "content.break_for: must be from 1s to 1h"),
        ({"break_for": "61m"}, "content.break_for: must be from 1s to 1h"),
        ({"text": "Hello"}, "content.text: unknown key; known: concurrency, break_after, break_for"),
    ],
)
def test_how_hosts_cannot_be_spared(tmp_path: Path, hosts: dict[str, object], expected: str) -> None:
    (found,) = wrong(tmp_path, {"text": "Hello"}, content_hosts=hosts)
    assert sorted(found) == sorted(expected) if "known" in found else found == expected


# --- mistakes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"text": "A", "template": "t", "api": json_api()}, "nodes.a.content: holds both text and template"),
        ({"text": "{{ api.name }}"}, "nodes.a.content.text: api is the answer of your own system, and this node asks"),
        ({"template": "t"}, "nodes.a.content.template: api is the answer of your own system, and this node asks none"),
        ({"text": "A", "fallback": "B"}, "nodes.a.content.fallback: is for nodes with content.api; "),
        ({"fallback": "B"}, "nodes.a.content: has a fallback and nothing to fall back from; "),
        ({"api": api(on_error="fallback")}, "nodes.a.content.api.on_error: there is no content.fallback; "),
        ({"api": api(on_error="skip"), "fallback": "B"}, "nodes.a.content.fallback: is never used, since api.on_error"),
        ({"api": api(on_error="hold"), "fallback": "B"}, "nodes.a.content.fallback: is never used, since api.on_error"),
        ({"api": json_api(), "fallback": "{{ api.x }}"}, "nodes.a.content.fallback: api is the answer, and the "),
        ({"api": api(), "fallback": "{{ caller"}, "nodes.a.content.fallback: "),
        ({"api": api(), "fallback": "  "}, "nodes.a.content.fallback: is empty; an SMS needs a text"),
        ({"api": api(), "fallback": "{{ now.strftme() }}"}, "nodes.a.content.fallback: there is no 'strftme' in a "),
        ({"api": api(), "fallback": "x" * 1000}, "nodes.a.content.fallback: the text alone makes 7 segments"),
        ({"api": json_api(), "text": "{{ api.name"}, "nodes.a.content.text: "),
        ({"api": api(allow=["sender"])}, "nodes.a.content.api.allow: only a JSON answer"),
        ({"api": api(), "text": "Hi {{ api.name }}"}, "nodes.a.content.text: api.name is a part of an answer, and a "),
        ({"api": api(on_error="holdd")}, "nodes.a.content.api.on_error: must be fallback, skip or hold; did you mean"),
        ({"api": api(timeout="5")}, "nodes.a.content.api.timeout: '5' is not a duration; "),
        ({"api": api(metod="GET")}, "nodes.a.content.api.metod: unknown key; did you mean method?"),
        ({"api": api(url="ftp://x/")}, "nodes.a.content.api.url: "),
    ],
)
def test_what_does_not_go_together(tmp_path: Path, content: dict[str, Any], expected: str) -> None:
    found = wrong(tmp_path, content, templates="Hi {{ api.name }}")
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_mistakes_in_text_and_fallback_are_told_together(tmp_path: Path) -> None:
    content = {"api": json_api(on_error="hold"), "text": "{{ api", "fallback": "{{ caller"}
    keys = [mistake.partition(": ")[0] for mistake in wrong(tmp_path, content)]
    assert set(keys) == {"nodes.a.content.text", "nodes.a.content.fallback"}


def test_what_is_wrong_in_the_defaults_is_told_there_and_once(tmp_path: Path) -> None:
    (found,) = wrong(tmp_path, None, defaults={"content": {"api": {"method": "POST"}}})
    assert found.startswith("defaults.content.api.url: is missing")


# --- warnings ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "open_to_all"),
    [
        ("https://shop.example/", False),
        ("http://shop.example/", True),
        ("HTTP://10.0.0.7:8080/", True),
        ("http://127.0.0.1:8099/", False),
        ("http://127.9.9.9/", False),
        ("http://[::1]:8099/", False),
        ("http://localhost/", False),
        ("http://shop.localhost/", False),
        ("http://localhost.example/", True),
    ],
)
def test_numbers_that_travel_in_the_open(tmp_path: Path, url: str, open_to_all: bool) -> None:
    found = [warning for warning in load(tmp_path, {"api": api(url=url)}).warnings if "content.api.url" in warning]
    assert len(found) == open_to_all
    assert not found or "goes over plain http" in found[0]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"api": json_api(), "text": "Hello"}, "content.text: shows nothing of what the api answers"),
        ({"api": json_api(), "text": "{{ api.x }} {{ caler }}"}, "did you mean caller?"),
        ({"api": json_api(message="$.x"), "text": "{{ api.x }}"}, "content.api.message: is not looked for, since "),
        ({"api": json_api(message="$.x"), "template": "t"}, "content.api.message: is not looked for, since "),
        ({"api": json_api(), "text": "{{ api.x }} {{ caller_name }}"}, "content.text: caller_name is what the caller"),
        (
            {"api": api(), "fallback": "Hi {{ caller_name }}"},
            "content.fallback: caller_name is what the caller made up",
        ),
        ({"api": api(), "fallback": "Zażółć " + "x" * 70}, "content.fallback: ż ó ł ć make it UCS-2"),
    ],
)
def test_what_is_warned_about(tmp_path: Path, content: dict[str, Any], expected: str) -> None:
    (found,) = load(tmp_path, content, templates="{{ api.x }}" if "template" in content else "").warnings
    assert expected in found


def test_what_a_text_answer_can_do_is_no_part_of_it(tmp_path: Path) -> None:
    assert load(tmp_path, {"api": api(), "text": "{{ api.upper() }}"}).warnings == ()


# --- secrets ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        {"api": api(headers={"X-Shop": "${SHOP_TOKEN}\u202e"})},
        {"api": api(headers={"X-Shop": {"a": "${SHOP_TOKEN}"}})},
        {"api": api(headers={"Authorization": ["Bearer ${SHOP_TOKEN}"]})},
        {"api": api(sign="${SHOP_SECRET}")},
        {"api": api(sign={"secrt": "${SHOP_SECRET}"})},
        {"api": api(url="https://u:${SHOP_TOKEN}@x/")},
        {"api": api(url="${SHOP_SECRET}")},
        {"api": api(timeout="${SHOP_TOKEN}")},
        {"api": api(message="${SHOP_SECRET}")},
        {"api": api(vars=["${SHOP_SECRET}"])},
        {"api": api(), "fallback": "{{ ${SHOP_TOKEN}"},
    ],
)
@pytest.mark.parametrize("place", ["nodes", "defaults", "file", "environment"])
def test_no_mistake_shows_a_secret(tmp_path: Path, content: dict[str, Any], place: str) -> None:
    one: dict[str, Any] = {"send_to_caller": True, "content": content}
    tree: dict[str, Any] = {"nodes": {"a": one}}
    environ = dict(ENVIRON)
    if place == "defaults":
        tree = {"defaults": one, "nodes": {"a": {}}}
    elif place == "file":
        tree = {}
        (tmp_path / "nodes.d").mkdir()
        (tmp_path / "nodes.d" / "n.yaml").write_text(json.dumps({"a.b": one}), encoding="utf-8")
    elif place == "environment":
        tree = {"nodes": {"a": {"send_to_caller": True}}}
        written = json.dumps(content, ensure_ascii=False)
        for name, value in ENVIRON.items():
            written = written.replace(f"${{{name}}}", value)
        for key, value in json.loads(written).items():
            for inner, leaf in value.items() if isinstance(value, dict) else [("", value)]:
                name = f"AGI_SMS_NODES__A__CONTENT__{key.upper()}" + (f"__{inner.upper()}" if inner else "")
                environ[name] = leaf if isinstance(leaf, str) else json.dumps(leaf, ensure_ascii=False)
    (tmp_path / "agi-sms.yaml").write_text(json.dumps(tree), encoding="utf-8")
    with pytest.raises(errors.ConfigError) as caught:
        config.load(tmp_path / "agi-sms.yaml", environ)
    shown = str(caught.value).replace(str(tmp_path) + os.sep, "")
    assert not any(secret[at : at + 8] in shown for secret in ENVIRON.values() for at in range(len(secret) - 7)), shown


def test_an_open_secret_in_a_file_that_everybody_reads(tmp_path: Path) -> None:
    content = {"api": api(headers={"Authorization": "Bearer hunter2hunter2"}, sign={"secret": "hunter2hunter2"})}
    load(tmp_path, content)
    (tmp_path / "agi-sms.yaml").chmod(0o644)
    (found,) = config.load(tmp_path / "agi-sms.yaml", {}).warnings
    assert "nodes.a.content.api.headers.Authorization: every user of this machine can read this secret" in found


def test_nothing_that_is_printed_of_a_configuration_shows_a_secret(tmp_path: Path) -> None:
    headers = {"Authorization": "Bearer ${SHOP_TOKEN}", "X-Shop": "${SHOP_TOKEN}"}
    content = {"api": api(url=f"{URL}?key=${{SHOP_TOKEN}}", headers=headers, sign={"secret": "${SHOP_SECRET}"})}
    loaded = load(tmp_path, content)
    shown = (
        config.format_report(loaded, verbose=True) + repr(loaded.nodes) + repr(loaded.details) + repr(loaded.sources)
    )
    for secret in ENVIRON.values():
        assert secret not in shown


# --- the revision -----------------------------------------------------------------------------------------------


def test_the_revision_covers_everything_in_content(tmp_path: Path) -> None:
    base = json_api(headers={"X-Shop": "one"}, sign={"secret": "one"}, fields={"shop": "12"})
    contents = [
        {"api": base},
        {"api": base | {"url": URL + "/2"}},
        {"api": base | {"headers": {"X-Shop": "two"}}},
        {"api": base | {"sign": {"secret": "two"}}},
        {"api": base | {"fields": {"shop": "13"}}},
        {"api": base | {"timeout": "1s"}},
        {"api": base | {"fetch": "send"}},
        {"api": base | {"on_error": "skip"}},
        {"api": base | {"allow": ["send"]}},
        {"api": base, "fallback": "A"},
        {"api": base, "fallback": "B"},
        {"api": base, "text": "{{ api }}"},
        {"text": "Hello"},
    ]
    revisions = [load(tmp_path, content).nodes["a"].revision for content in contents]
    assert len(set(revisions)) == len(contents)
    assert load(tmp_path, contents[0]).nodes["a"].revision == revisions[0]


# --- the report -------------------------------------------------------------------------------------------------


def test_the_table_says_where_the_text_comes_from(tmp_path: Path) -> None:
    lines = config.format_report(load(tmp_path, {"api": json_api(url=f"{URL}?shop=1")})).splitlines()
    (row,) = [line for line in lines if line.startswith("  a ")]
    assert f"from {URL} (POST, json)" in row


def test_the_verbose_report_tells_how_it_is_asked(tmp_path: Path) -> None:
    content = {
        "api": json_api(timeout="3s", retries=1, allow=["send", "delay"], vars=["ORDER"]),
        "text": "Hi {{ api.name }},\n{{ api.status }}",
        "fallback": "Thank you",
    }
    lines = config.format_report(load(tmp_path, content), verbose=True).splitlines()
    assert lines[lines.index("  callers      mobiles of PL") + 2 :] == [
        "  variables    ORDER  (the dialplan hands them over as var.NAME=)",
        f"  api          POST {URL}, answers json",
        "  fetch        arrival, within 3s, 1 retry",
        "  on_error     fallback",
        "  sends        from_number, to_number, call_id, node, pbx, activation_id",
        "  allow        delay, send",
        "  text         Hi {{ api.name }},",
        "               {{ api.status }}",
        "  fallback     Thank you",
    ]


def test_the_verbose_report_tells_what_goes_along_and_what_is_allowed(tmp_path: Path) -> None:
    told = json_api(
        message="$.said",
        params={"from_number": "caller", "to_number": False, "pbx": False, "node": False},
        fields={"shop": "12", "lang": "pl"},
        headers={"Authorization": "Bearer ${SHOP_TOKEN}"},
        sign={"secret": "${SHOP_SECRET}"},
        redirects=True,
        private_addresses="deny",
    )
    lines = config.format_report(load(tmp_path, {"api": told}), verbose=True).splitlines()
    for line in (
        "  message      $.said",
        "  sends        from_number as caller, call_id, activation_id",
        "  fields       shop, lang",
        "  headers      Authorization",
        "  sign         every question, with HMAC-SHA256",
        "  redirects    followed",
        "  addresses    no private ones",
    ):
        assert line in lines
    assert "  message      $.message" in config.format_report(load(tmp_path, {"api": json_api()}), verbose=True)


def test_the_report_keeps_to_the_terminal_and_to_the_nodes_asked_for(tmp_path: Path) -> None:
    long = {"api": json_api(url=f"{URL}/{'x' * 90}"), "text": "{{ api.a }} and {{ api.b }} " * 4}
    loaded = load(tmp_path, long, description="What is told of an order, and whom it is told " * 3)
    shown = config.format_report(loaded, verbose=True, width=80)
    wide = [line for line in shown.splitlines() if len(line) > 80]
    assert [line for line in wide if URL not in line and str(tmp_path) not in line] == []  # no place to break them
    (row,) = [line for line in shown.splitlines() if line.startswith("  a ")]
    assert "…" in row
    assert len(row) <= 80
    none = config.format_report(loaded, verbose=True, names=())
    assert not any(line.startswith(("  a ", "a ")) for line in none.splitlines())


def test_what_the_environment_fills_in_is_a_secret_wherever_it_stands(tmp_path: Path) -> None:
    path = tmp_path / "agi-sms.yaml"
    path.write_text(
        "nodes:\n  n:\n    recipients: '+48600100200'\n    content:\n      api:\n"
        "        url: https://shop.example/${PLACE}/text\n        fields: {shop: '${SHOP}', lang: '${TONGUE}'}\n",
        encoding="utf-8",
    )
    environ = {"PLACE": "hidden-path", "SHOP": "hidden-shop", "TONGUE": "pl"}
    asked = config.load(path, environ).sources["n"]
    assert {"hidden-path", "hidden-shop"} <= asked.secrets()
    assert "pl" not in asked.secrets()  # too short to be one, and every other word would be stars
    assert asked == config.load(path, environ).sources["n"]  # so that a reload keeps its source
