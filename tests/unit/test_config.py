"""Loading a configuration: what comes out of a right one, which warnings it carries, what a reload can change."""

import os
import stat
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from agi_sms import config, errors, node, numbers
from tests.contract import peer

Write = Callable[..., Path]
PBX = """\
pbx:
  main:
    ari: {url: "http://127.0.0.1:8088", username: gw, password: "${ARI_PASSWORD:-x}"}
    ami: {username: gw, secret: "${AMI_SECRET:-x}"}
"""
NODE = "nodes: {info: {send_to_caller: true, content: {text: Hello}}}\n"


@pytest.fixture(name="write")
def _write(tmp_path: Path) -> Write:
    def write(main: str = PBX + NODE, **more: str) -> Path:
        """Write agi-sms.yaml, and files of nodes.d and templates.d as nodes_NAME= and templates_NAME=."""
        (tmp_path / "agi-sms.yaml").write_text(main, encoding="utf-8")
        for name, body in more.items():
            kind, _, stem = name.partition("_")
            folder = tmp_path / f"{kind}.d"
            folder.mkdir(exist_ok=True)
            ending = "yaml" if kind == "nodes" else "txt"
            (folder / f"{stem}.{ending}").write_text(body, encoding="utf-8")
        return tmp_path / "agi-sms.yaml"

    return write


def load(path: Path, **environ: str) -> config.Config:
    return config.load(path, environ)


def warned(path: Path, **environ: str) -> tuple[str, ...]:
    return tuple(warning.replace(f"{path.parent}{os.sep}", "") for warning in load(path, **environ).warnings)


def rendered(one: node.Node, values: dict[str, object]) -> str:
    assert one.template is not None
    return one.template.render(values)


def test_the_smallest_useful_file(write: Write) -> None:
    loaded = load(write())
    assert loaded.warnings == ()
    assert list(loaded.nodes) == ["info"]
    info = loaded.nodes["info"]
    assert (info.route, info.region, str(info.time_zone)) == (node.Route.of("print"), "PL", "Europe/Warsaw")
    assert rendered(info, {}) == "Hello"
    assert loaded.settings.hold_budget == timedelta(milliseconds=150)
    assert loaded.settings.spool_path == Path("/var/lib/agi-sms/agi-sms.spool")
    assert list(loaded.providers) == ["print"]


def test_an_empty_file_is_right_and_warned_about(write: Write) -> None:
    assert warned(write("# nothing yet\n")) == ("agi-sms.yaml: pbx: is missing: no call can arrive",)


def test_sections_that_hold_only_comments_are_empty(write: Write) -> None:
    loaded = load(write(PBX + NODE + "providers:\n  # acme: ...\nroutes:\ngroups:\nlog:\n"))
    assert loaded.settings.log.level == "info"


def test_every_key_of_a_node(write: Write) -> None:
    path = write(
        PBX + "groups: {team: ['+48600100200', '+48600100201']}\nroutes: {urgent: [print]}\nregion: DE\n",
        nodes_a="""\
full:
  description: All of it
  sender: ACME
  delay: 1h30m
  recipients: "+48600100202, @team"
  send_to_caller: true
  caller_countries: FR, DE
  once_per_call: true
  content: {template: hello}
  dialplan_recipients: true
  transliterate: true
  max_segments: 2
  max_age: 2h
  route: urgent
  time_zone: Europe/Berlin
  region: FR
  limits: {per_recipient: 3/1d, per_node: "100 / 1h"}
""",
        templates_hello="Hello {{ caller }}\n",
    )
    full = load(path).nodes["full"]
    assert full.recipients == (
        node.Recipient(number="+48600100202"),
        node.Recipient(number="+48600100200", group="team"),
        node.Recipient(number="+48600100201", group="team"),
    )
    assert (full.sender, full.delay, full.max_age) == ("ACME", timedelta(minutes=90), timedelta(hours=2))
    assert (full.send_to_caller, full.once_per_call, full.dialplan_recipients, full.transliterate) == (True,) * 4
    assert (full.route, full.max_segments) == (node.Route.of("print"), 2)
    assert (full.region, str(full.time_zone)) == ("FR", "Europe/Berlin")
    assert full.limits == (
        node.Limit(per="recipient", most=3, window=timedelta(days=1)),
        node.Limit(per="node", most=100, window=timedelta(hours=1)),
    )
    assert full.caller_countries == ("FR", "DE")
    assert rendered(full, {"caller": "x"}) == "Hello x"


def test_unquoted_numbers_keep_their_plus_and_zeros(write: Write) -> None:
    main = PBX.replace('"${AMI_SECRET:-x}"', "0012") + (
        "groups: {team: [+48600100201]}\n"
        "nodes:\n  a: {sender: 12345, recipients: +48600100200, content: {text: 0}}\n"
        "  b: {recipients: ['@team'], content: {text: 1.50}}\n"
    )
    loaded = load(write(main))
    assert [one.number for one in loaded.nodes["a"].recipients] == ["+48600100200"]
    assert loaded.nodes["a"].sender == "12345"
    assert rendered(loaded.nodes["a"], {}) == "0"
    assert rendered(loaded.nodes["b"], {}) == "1.50"
    ami = loaded.settings.pbx["main"].ami
    assert ami is not None
    assert ami.secret.get_secret_value() == "0012"


def test_defaults_apply_where_a_node_says_nothing(write: Write) -> None:
    loaded = load(
        write(
            PBX + "defaults: {sender: ACME, delay: 30s, send_to_caller: true, content: {text: Shared}}\n",
            nodes_a="one: {}\ntwo:\n  # all from the defaults\nthree: {delay: 0, sender: '', content: {text: Own}}\n",
        )
    )
    one, two, three = (loaded.nodes[name] for name in ("one", "two", "three"))
    assert (one.sender, one.delay, rendered(one, {})) == ("ACME", timedelta(seconds=30), "Shared")
    assert two.send_to_caller
    assert (three.sender, three.delay, rendered(three, {})) == ("", timedelta(0), "Own")


def test_variables_are_filled_in_with_their_types(write: Write) -> None:
    main = (
        'pbx: {main: {ari: {url: "http://${HOST}:8088", username: gw, password: "${PASS}"},\n'
        '      ami: {port: "${PORT}", username: gw, secret: "${UNSET:-default}"}}}\n'
        'concurrency: ${MANY}\nlog: {reveal: "${REVEAL}"}\n'
        'nodes: {a: {send_to_caller: true, content: {text: "$${HOST} costs $5"}}}\n'
    ).replace('"${REVEAL}"', "true")
    loaded = load(write(main), HOST="pbx.example", PASS="a: [b", PORT="5039", MANY="7")
    main_pbx = loaded.settings.pbx["main"]
    assert main_pbx.ari is not None
    assert main_pbx.ami is not None
    assert main_pbx.ari.url.startswith("http://pbx.example:8088")
    assert main_pbx.ari.password.get_secret_value() == "a: [b"
    assert (main_pbx.ami.port, main_pbx.ami.secret.get_secret_value()) == (5039, "default")
    assert loaded.settings.concurrency == 7
    assert rendered(loaded.nodes["a"], {}) == "${HOST} costs $5"


def test_anchors_and_merges(write: Write) -> None:
    loaded = load(
        write(
            PBX + "nodes:\n  a: &base {send_to_caller: true, delay: 5m, content: {text: A}}\n"
            "  b:\n    <<: *base\n    delay: 10m\n"
        )
    )
    assert (loaded.nodes["b"].delay, loaded.nodes["b"].send_to_caller) == (timedelta(minutes=10), True)


def test_relative_paths_are_read_from_the_files_folder(write: Write, tmp_path: Path) -> None:
    main = (
        PBX + NODE + "database: data/x.db\nproviders: {out: {type: file, path: sent.jsonl}}\nroutes: {default: out}\n"
    )
    (tmp_path / "ca.pem").write_text(peer.CERTIFICATE)
    loaded = load(write(main.replace("secret:", "ca_file: ca.pem, secret:")))
    assert loaded.settings.database == tmp_path / "data/x.db"
    assert loaded.settings.spool_path == tmp_path / "data/x.spool"
    assert getattr(loaded.providers["out"], "path", None) == tmp_path / "sent.jsonl"
    ami = loaded.settings.pbx["main"].ami
    assert ami is not None
    assert ami.ca_file == tmp_path / "ca.pem"
    assert loaded.nodes["info"].route == node.Route.of("out")


def test_certificates_that_cannot_be_read(write: Write, tmp_path: Path) -> None:
    main = PBX + NODE
    with pytest.raises(errors.ConfigError, match=r"pbx\.main\.ami\.ca_file: .* holds no certificates"):
        load(write(main.replace("secret:", "ca_file: ca.pem, secret:")))


@pytest.mark.parametrize(
    ("route", "expected"),
    [("both", ("out", "print")), ("out", ("out",)), ("[print, out]", ("print", "out"))],
)
def test_a_route_is_a_routes_name_a_providers_or_a_list(write: Write, route: str, expected: tuple[str, ...]) -> None:
    main = PBX + "providers: {out: {type: file, path: sent}}\nroutes: {both: [out, print]}\n"
    loaded = load(write(main + f"nodes: {{a: {{send_to_caller: true, route: {route}, content: {{text: A}}}}}}\n"))
    assert loaded.nodes["a"].route == node.Route.of(*expected)


def test_rules_of_a_pbx_and_of_its_trunks(write: Write) -> None:
    main = (PBX + NODE + "region: DE\n").replace(
        "    ami:",
        "    number_format: national\n    strip: '9, 00'\n"
        "    trunks: {acme: {number_format: e164_no_plus, strip: []}}\n    ami:",
    )
    loaded = load(write(main))
    assert loaded.rules("main", "other") == numbers.Rules(
        number_format=numbers.NumberFormat.NATIONAL, region="DE", strip=("9", "00")
    )
    assert loaded.rules("main", "acme") == numbers.Rules(number_format=numbers.NumberFormat.E164_NO_PLUS, region="DE")
    assert loaded.rules("nobody", "") == numbers.Rules(region="DE")


def test_the_revision_changes_with_settings_and_template_only(write: Write) -> None:
    def revision(main: str = PBX, delay: str = "0", template: str = "Hello") -> str:
        node_file = f"a: {{send_to_caller: true, delay: {delay}, content: {{template: t}}}}\n"
        return load(write(main, nodes_a=node_file, templates_t=template)).nodes["a"].revision

    first = revision()
    assert revision(PBX + "log: {level: debug}\n") == first
    assert len({first, revision(delay="5m"), revision(template="Hi"), revision(PBX + "region: DE\n")}) == 4


# --- the environment ------------------------------------------------------------------------------------------


def test_the_environment_overrides_the_files(write: Write) -> None:
    path = write(
        PBX + NODE + "providers: {my-out: {type: file, path: a}}\nroutes: {default: my-out}\n",
        nodes_b="other: {delay: 5m, send_to_caller: true, content: {text: B}}\n",
    )
    loaded = load(
        path,
        AGI_SMS_LOG__LEVEL="debug",
        AGI_SMS_LOG__REVEAL="true",
        AGI_SMS_PBX__MAIN__ARI__PASSWORD="123456",
        AGI_SMS_PROVIDERS__MY_OUT__PATH="b",
        AGI_SMS_NODES__OTHER__DELAY="7m",
        AGI_SMS_GROUPS="{team: [+48600100200]}",
        AGI_SMS_NODES__INFO__RECIPIENTS="['@team']",
        AGI_SMS_CONFIG="ignored",
        AGI_SMS_SERVICE_HOST="10.0.0.1",  # what Kubernetes sets for a service of this name
        AGI_SMS_PORT_9464_TCP="tcp://10.0.0.1:9464",
        OTHER="ignored",
    )
    assert (loaded.settings.log.level, loaded.settings.log.reveal) == ("debug", True)
    ari = loaded.settings.pbx["main"].ari
    assert ari is not None
    assert ari.password.get_secret_value() == "123456"
    assert getattr(loaded.providers["my-out"], "path", None) == path.parent / "b"
    assert loaded.nodes["other"].delay == timedelta(minutes=7)
    assert [one.number for one in loaded.nodes["info"].recipients] == ["+48600100200"]


def test_everything_may_come_from_the_environment(write: Write) -> None:
    loaded = load(
        write(""),
        AGI_SMS_PBX__MAIN__ARI__URL="http://127.0.0.1:8088",
        AGI_SMS_PBX__MAIN__ARI__USERNAME="gw",
        AGI_SMS_PBX__MAIN__ARI__PASSWORD="{secret",
        AGI_SMS_NODES__INFO__SEND_TO_CALLER="true",
        AGI_SMS_NODES__INFO__CONTENT__TEXT="{{ caller }} called",
    )
    assert rendered(loaded.nodes["info"], {"caller": "x"}) == "x called"
    ari = loaded.settings.pbx["main"].ari
    assert ari is not None
    assert ari.password.get_secret_value() == "{secret"


def test_the_process_environment_is_not_looked_at(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AGI_SMS_LOG__LEVEL", "debug")
    assert load(write()).settings.log.level == "info"


# --- warnings -------------------------------------------------------------------------------------------------

AMI = '    ami: {username: gw, secret: "${AMI_SECRET:-x}"}\n'


@pytest.mark.parametrize(
    ("main", "expected"),
    [
        (
            PBX + "nodes:\n  a:\n    recipients: ['+48221131415']\n    content: {text: A}\n",
            "agi-sms.yaml:7: nodes.a.recipients[0]: +48221131415 is a landline: ",
        ),
        (
            PBX
            + "groups:\n  g:\n  - +48600100200\n  - +48221131415\nnodes: {a: {recipients: '@g', content: {text: A}}}\n",
            "agi-sms.yaml:8: groups.g[1]: +48221131415 is a landline: ",
        ),
        (
            PBX + "nodes:\n  a:\n    recipients:\n    - +48600100200\n    - 0048 600 100 200\n    content: {text: A}\n",
            "agi-sms.yaml:9: nodes.a.recipients[1]: +48600100200 is named twice; it gets one SMS",
        ),
        (PBX + "nodes:\n  a: {content: {text: A}}\n", "agi-sms.yaml:6: nodes.a: nobody gets its messages: "),
        (
            PBX + "groups: {g: []}\nnodes:\n  a: {recipients: '@g', content: {text: A}}\n",
            "agi-sms.yaml:7: nodes.a.recipients: the group @g is empty",
        ),
        (PBX + NODE + "groups:\n  g: []\n", "agi-sms.yaml:7: groups.g: no node uses it"),
        (PBX + NODE + "routes:\n  r: [print]\n", "agi-sms.yaml:7: routes.r: no node uses it"),
        (
            PBX + NODE + "providers:\n  out: {type: file, path: x}\n",
            "agi-sms.yaml:7: providers.out: no route and no node uses it",
        ),
        (
            PBX + NODE + "providers:\n  out: {type: file, path: x}\n",
            "agi-sms.yaml:5: nodes.info: only prints its SMS: ",
        ),
        (PBX + NODE + "routes: {default: [print, print]}\n", "agi-sms.yaml:6: routes.default[1]: 'print' stands"),
        (PBX.replace(AMI, "") + NODE, "agi-sms.yaml:2: pbx.main: has no ami: "),
        (PBX.replace(":-x", ":-") + NODE, "agi-sms.yaml:3: pbx.main.ari.password: is empty; "),
        (PBX.replace(":-x", ":-") + NODE, "agi-sms.yaml:4: pbx.main.ami.secret: is empty; "),
        (
            PBX + "nodes:\n  a: {sender: ACME, recipients: '+12125550123', content: {text: A}}\n",
            "agi-sms.yaml:6: nodes.a.sender: networks in North America take no sender with letters",
        ),
        (
            PBX + "nodes:\n  a:\n    send_to_caller: true\n    content:\n      text: Zażółć " + 70 * "x" + "\n",
            "agi-sms.yaml:9: nodes.a.content.text: ż ó ł ć make it UCS-2, 70 characters a segment: 2 segments; "
            "transliterate: true makes it 1 segment",
        ),
        (
            PBX + "nodes:\n  a: {recipients: '+48600100200, +48600100201',\n      limits: {per_node: 1/1h},"
            " content: {text: A}}\n",
            "agi-sms.yaml:7: nodes.a.limits.per_node: allows 1, but each call makes 2 messages",
        ),
        (
            PBX
            + "nodes:\n  a: {send_to_caller: true, max_segments: 1, content: {text: '"
            + "x" * 150
            + "{{ caller }}'}}\n",
            "agi-sms.yaml:6: nodes.a.content.text: with sample values the text makes 2 segments (gsm7), more than "
            "max_segments: 1",
        ),
        (
            PBX + "nodes:\n  a: {send_to_caller: true, content: {text: 'Hi {{ caller_name }}'}}\n",
            "agi-sms.yaml:6: nodes.a.content.text: caller_name is what the caller made up, ",
        ),
    ],
)
def test_warnings(write: Write, main: str, expected: str) -> None:
    found = warned(write(main))
    assert any(warning.startswith(expected) for warning in found), found


def test_a_template_that_nobody_uses(write: Write) -> None:
    assert warned(write(templates_spare="Hello")) == ("templates.d/spare.txt: no node uses this template",)


def test_an_open_secret_in_a_file_that_everybody_reads(write: Write) -> None:
    path = write(PBX.replace("${ARI_PASSWORD:-x}", "hunter2hunter2") + NODE)
    path.chmod(0o644)
    (found,) = warned(path)
    assert found.startswith("agi-sms.yaml:3: pbx.main.ari.password: every user of this machine can read this secret")
    path.chmod(path.stat().st_mode & ~stat.S_IROTH)
    assert warned(path) == ()


# --- reload ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("", "log: {level: debug}\nretry: {attempts: 3}\nconcurrency: 5\nproviders: {o: {type: print}}\n", []),
        ("", "database: /x/y.db\nspool: {size: 32MiB}\nmetrics: {}\nhold_budget: 1s\ndrain: 1s\n",
         ["database", "spool", "hold_budget", "drain", "metrics"]),
    ],
)  # fmt: skip
def test_what_needs_a_restart(write: Write, before: str, after: str, expected: list[str]) -> None:
    old, new = load(write(PBX + NODE + before)), load(write(PBX + NODE + after))
    assert config.restart_needed(old, new) == expected
    assert config.restart_needed(old, old) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("8088", "8089"), ["pbx.main.ari"]),
        (("AMI_SECRET:-x", "AMI_SECRET:-y"), ["pbx.main.ami"]),
        (("  main:", "  other:"), ["pbx.main", "pbx.other"]),
        (("    ami:", "    number_format: e164\n    ami:"), []),
    ],
)
def test_which_pbx_needs_a_restart(write: Write, change: tuple[str, str], expected: list[str]) -> None:
    old, new = load(write(PBX)), load(write(PBX.replace(*change)))
    assert config.restart_needed(old, new) == expected


def test_a_thousand_nodes_load_with_all_their_facts(write: Write) -> None:
    lines = [
        f"node-{at}: {{sender: ACME, delay: {at}s, recipients: '+48600100200, @team', content: {{text: 'No {at}'}}}}\n"
        for at in range(1000)
    ]
    loaded = load(write(PBX + "groups: {team: ['+48600100201']}\n", nodes_many="".join(lines)))
    assert len(loaded.nodes) == 1000
    assert loaded.nodes["node-999"].delay == timedelta(seconds=999)
    assert len({one.revision for one in loaded.nodes.values()}) == 1000


def test_mistakes_are_an_exception_that_holds_them_all(write: Write) -> None:
    with pytest.raises(errors.ConfigError) as caught:
        load(write("regio: PL\nconcurrency: 0\n"))
    assert len(caught.value.mistakes) == 2
    assert str(caught.value) == "\n".join(caught.value.mistakes)
