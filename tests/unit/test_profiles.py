"""Profiles: how they are found, joined with the operator's settings, and what is said of their mistakes."""

from pathlib import Path
from typing import Any

import pytest

from agi_sms import errors
from agi_sms.config_mistakes import Mistakes, Spot
from agi_sms.providers import http_settings, profiles

GOOD = """\
title: Acme
docs: https://acme.example/docs
proof: documentation
sources:
  request: https://acme.example/docs
needs:
  secret.token: the token of the API
notes: [nothing yet]
url: https://acme.example/send
auth:
  bearer: "{{ secret.token }}"
headers:
  X-One: "1"
body:
  json: {to: "{{ to }}", text: "{{ text }}"}
answer:
  rules:
    - {status: 200, then: accept}
"""
SIGNED = """\
receipts:
  from: json
  id: $.id
  ref: "?ref"
  state: $.status
  states: {delivered: delivered}
  verify: {scheme: vonage, secret: token}
"""
FOURTEEN = [
    *("android-sms-gateway", "bulkgate", "clicksend", "infobip", "jasmin", "kannel", "messagebird", "plivo"),
    *("serwersms", "sinch", "smsapi", "telnyx", "twilio", "vonage"),
]


def write(folder: Path, name: str = "acme", text: str = GOOD) -> Path:
    path = folder / f"{name}.yaml"
    path.write_text(text)
    return path


def spot(tree: dict[str, Any], line: int = 1, key: str = "providers.p") -> Spot:
    """Spots of the operator's own file, a line for each key."""
    made = Spot("agi-sms.yaml", line, key)
    for at, (name, value) in enumerate(tree.items(), start=line + 1):
        inner = value if isinstance(value, dict) else {}
        made.children[name] = spot(inner, at, f"{key}.{name}")
    return made


def expanded(own: dict[str, Any], *folders: Path) -> tuple[dict[str, Any] | None, tuple[str, ...], Spot | None]:
    mistakes = Mistakes()
    found = profiles.expanded(own, spot(own), folders, mistakes)
    return (found[0] if found else None), mistakes.texts(), (found[1] if found else None)


def test_the_companies_that_come_with_it() -> None:
    assert profiles.names() == sorted(FOURTEEN)
    for name in FOURTEEN:
        head = profiles.load(name).head
        assert head.sources
        assert head.proof in {"software", "document", "documentation"}
        assert "unsure" not in " ".join(head.notes)


def test_an_own_profile_wins(tmp_path: Path) -> None:
    write(tmp_path, "twilio")
    write(tmp_path, "other")
    assert profiles.load("twilio", [tmp_path]).origin == tmp_path / "twilio.yaml"
    assert profiles.load("twilio").origin == profiles.SHIPPED / "twilio.yaml"
    assert "other" in profiles.names([tmp_path])
    assert profiles.names([tmp_path / "gone"]) == sorted(FOURTEEN)


def test_a_profile_that_is_not_there() -> None:
    for name in ("twillio", "../../etc/passwd", "", "Twilio"):
        with pytest.raises(errors.ConfigError, match="there is no profile") as caught:
            profiles.load(name)
        assert len(caught.value.mistakes) == 1
    with pytest.raises(errors.ConfigError, match=r"did you mean twilio\?"):
        profiles.load("twillio")


def test_own_keys_win_mappings_are_joined_and_lists_replaced(tmp_path: Path) -> None:
    write(tmp_path)
    own = {
        "type": "http",
        "profile": "acme",
        "secret": {"token": "t0ken"},
        "headers": {"X-Two": "2"},
        "body": {"json": {"from": "{{ sender }}", "text": "! {{ text }}"}},
        "answer": {"rules": [{"status": 201, "then": "accept"}]},
        "auth": None,
        "timeout": "3s",
    }
    tree, mistakes, spots = expanded(own, tmp_path)
    assert not mistakes
    assert tree is not None
    assert tree["headers"] == {"X-One": "1", "X-Two": "2"}
    assert tree["body"]["json"] == {"to": "{{ to }}", "text": "! {{ text }}", "from": "{{ sender }}"}
    assert tree["answer"]["rules"] == [{"status": 201, "then": "accept"}]
    assert tree["auth"] is None
    assert "title" not in tree
    settings = http_settings.Settings.model_validate(tree)
    assert settings.profile == "acme"
    assert spots is not None
    assert str(spots.at("timeout")).startswith("agi-sms.yaml:")
    assert str(spots.at("url")) == f"{tmp_path}/acme.yaml:9: url"
    assert str(spots.at("headers", "X-One")) == f"{tmp_path}/acme.yaml:13: headers.X-One"
    assert str(spots.at("headers", "X-Two")).startswith("agi-sms.yaml:")
    again, _, _ = expanded(own, tmp_path)
    assert again == tree  # nothing of it is shared


def test_what_is_needed_and_missing_is_told_with_its_words(tmp_path: Path) -> None:
    write(tmp_path)
    for own in ({"profile": "acme"}, {"profile": "acme", "secret": {}}, {"profile": "acme", "secret": {"token": ""}}):
        tree, mistakes, _ = expanded(own, tmp_path)
        assert tree is None
        assert mistakes == ("agi-sms.yaml:1: providers.p.secret.token: is missing: the token of the API",)


def test_a_profile_that_is_not_there_is_told_where_it_is_named() -> None:
    _, mistakes, _ = expanded({"type": "http", "profile": "twillio"})
    assert mistakes == ("agi-sms.yaml:3: providers.p.profile: there is no profile 'twillio'; did you mean twilio?",)
    _, mistakes, _ = expanded({"profile": ["a"]})
    assert "there is no profile" in mistakes[0]


MISTAKES = {
    "no title": (GOOD.replace("title: Acme\n", ""), "acme.yaml:1: title: is missing"),
    "misspelt": (GOOD.replace("notes:", "nots:"), "acme.yaml:8: nots: unknown key; did you mean notes?"),
    "proof": (
        GOOD.replace("documentation", "hearsay"),
        "acme.yaml:3: proof: must be software, document or documentation",
    ),
    "docs": (GOOD.replace("docs: https", "docs: gopher"), "acme.yaml:2: docs: must be an address, https://..."),
    "a signature's secret that nobody is asked for": (
        GOOD + SIGNED.replace("secret: token", "secret: signingkey").replace('"?ref"', "$.ref"),
        "acme.yaml:25: receipts.verify.secret: nobody is asked for secret.signingkey; name it under needs or optional",
    ),
    "no verify": (
        GOOD + SIGNED.partition("  verify")[0],
        "acme.yaml:19: receipts: needs verify: write verify: {scheme: token, secret: NAME}, or how",
    ),
    "a secret in it": (
        GOOD + "secret: {token: abc}\n",
        "acme.yaml:19: secret: belongs to the provider's own configuration, not to a profile",
    ),
    "a type": (
        GOOD + "type: http\n",
        "acme.yaml:19: type: belongs to the provider's own configuration, not to a profile",
    ),
    "a need that is no key": (
        GOOD.replace("  secret.token: the", "  a token: x\n  secret.token: the"),
        "acme.yaml:7: needs.a token: must be a key of the settings, like secret.token or url",
    ),
    "a rule": (
        GOOD.replace("then: accept", "then: perhaps"),
        "acme.yaml:18: answer.rules[0].then: must be accept, duplicate, retry, uncertain, reject, final or provider_",
    ),
    "a template": (
        GOOD.replace("{{ to }}", "{{ two }}"),
        "acme.yaml:15: body.json.to: in '{{ two }}': 'two' is unknown",
    ),
    "a secret that nobody is asked for": (
        GOOD.replace("secret.token: the", "secret.other: the"),
        "acme.yaml:1: secret.token is missing: {{ secret.token }} is filled in from it",
    ),
    "a place that is not signed": (
        GOOD + SIGNED,
        "acme.yaml:22: receipts.ref: ?ref is in the query of the address, which scheme vonage does not sign where it "
        "comes as json: whoever has seen a receipt could write anything there; name a place in the body, or verify by "
        "scheme token",
    ),
    "not YAML": (GOOD + "a: b: c\n", "acme.yaml:19: a second `: `"),
    "a list": ("- a\n", "acme.yaml:1: must hold `key: value` lines at its top"),
    "empty": ("", "acme.yaml:1: is empty; a profile begins with title and docs"),
}


def test_a_fault_in_the_head_brings_no_other_with_it(tmp_path: Path) -> None:
    write(tmp_path, text=GOOD.replace("title: Acme\n", "") + SIGNED.replace('"?ref"', "$.ref"))
    with pytest.raises(errors.ConfigError) as caught:
        profiles.load("acme", [tmp_path])
    assert caught.value.mistakes == (f"{tmp_path}/acme.yaml:1: title: is missing",)


def test_sources_and_proof_are_for_what_is_shipped(tmp_path: Path) -> None:
    head = GOOD.replace("proof: documentation\nsources:\n  request: https://acme.example/docs\n", "")
    write(tmp_path, text=head)
    assert profiles.load("acme", [tmp_path]).head.proof == "documentation"


def test_one_that_is_broken_leaves_the_others_be(tmp_path: Path) -> None:
    write(tmp_path, text="title: Acme\n")
    assert [row.name for row in profiles.matrix([tmp_path])] == sorted(FOURTEEN)
    assert list(profiles.broken([tmp_path])) == ["acme"]


def test_a_misspelt_key_is_told_and_not_what_it_lacks(tmp_path: Path) -> None:
    write(tmp_path)
    tree, mistakes, _ = expanded({"type": "http", "profile": "acme", "secrets": {"token": "t"}}, tmp_path)
    assert tree is None
    assert mistakes == ("agi-sms.yaml:4: providers.p.secrets: unknown key; did you mean secret?",)


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes_name_file_line_and_key(tmp_path: Path, name: str) -> None:
    text, says = MISTAKES[name]
    write(tmp_path, text=text)
    with pytest.raises(errors.ConfigError) as caught:
        profiles.load("acme", [tmp_path])
    assert any(line.startswith(f"{tmp_path}/{says}") for line in caught.value.mistakes), caught.value.mistakes
    tree, mistakes, _ = expanded({"type": "http", "profile": "acme", "secret": {"token": "t"}}, tmp_path)
    assert tree is None
    assert any(says in line for line in mistakes)


@pytest.mark.parametrize("variable", ["${PATH}", "${PATH:-x}"])
def test_a_profile_takes_nothing_from_the_environment(
    tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else whoever may write one would have the gateway send its secrets to him."""
    monkeypatch.setenv("PATH", "s3cret")
    write(tmp_path, text=GOOD.replace("https://acme.example/send", f"https://{variable}/send"))
    with pytest.raises(errors.ConfigError, match=r"nothing here comes from the environment.*secret\.NAME") as caught:
        profiles.load("acme", [tmp_path])
    assert "s3cret" not in str(caught.value.mistakes)


def test_the_matrix_follows_from_the_data(tmp_path: Path) -> None:
    write(tmp_path)
    rows = {row.name: row for row in profiles.matrix([tmp_path])}
    assert sorted(rows) == sorted([*FOURTEEN, "acme"])
    assert rows["acme"] == profiles.Row(
        name="acme",
        title="Acme",
        auth="bearer",
        unicode="automatic",
        sender="no",
        receipts="no",
        idempotent="no",
        ids="no",
        proof="documentation",
    )
    assert rows["smsapi"].idempotent == rows["android-sms-gateway"].idempotent == "yes"
    assert rows["kannel"].auth == "query"
    assert rows["kannel"].ids == "ref"
    assert rows["bulkgate"].auth == "json"
    assert rows["telnyx"].receipts == "signed"
    assert (rows["serwersms"].receipts, rows["serwersms"].ids) == ("asked for", "id")
    assert {row.idempotent for row in rows.values()} == {"yes", "no"}
