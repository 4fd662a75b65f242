"""How the PBXs are reached: which way in each one has, and whose a FastAGI connection is."""

import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest

from agi_sms import config, config_settings, errors

ARI = 'ari: {url: "http://127.0.0.1:8088", username: gw, password: "${X:-x}"}'
AMI = 'ami: {username: gw, secret: "${X:-x}"}'
NODE = "nodes: {info: {send_to_caller: true, content: {text: Hello}}}\n"
EXAMPLE = Path(__file__).parents[2] / "config" / "agi-sms.yaml"

Load = Callable[..., config.Config]


@pytest.fixture(name="load")
def _load(tmp_path: Path) -> Load:
    def load(agi: str | None, *pbxs: str, environ: Mapping[str, str] | None = None) -> config.Config:
        """A configuration whose PBXs are called a, b, c."""
        lines = [] if agi is None else [f"agi: {agi}"]
        lines += ["pbx:", *(f"  {name}: {{{pbx}}}" for name, pbx in zip("abc", pbxs, strict=False))]
        path = tmp_path / "agi-sms.yaml"
        path.write_text("\n".join([*lines, NODE]), encoding="utf-8")
        return config.load(path, environ or {})

    return load


def plain(said: str) -> str:
    return re.sub(r"\S*agi-sms\.yaml:\d+: ", "", said)


def refused(load: Load, agi: str | None, *pbxs: str) -> list[str]:
    with pytest.raises(errors.ConfigError) as caught:
        load(agi, *pbxs)
    return [plain(mistake) for mistake in caught.value.mistakes]


def warned(load: Load, agi: str | None, *pbxs: str) -> list[str]:
    return [plain(warning) for warning in load(agi, *pbxs).warnings]


# --- whose connection it is ---


def test_an_only_pbx_has_this_machine(load: Load) -> None:
    found = load("{}", f"{ARI}, {AMI}")
    assert found.warnings == ()
    assert {found.pbx_at(address) for address in ("127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1")} == {"a"}
    assert {found.pbx_at(address) for address in ("192.0.2.7", "10.0.0.1", "::2", "fe80::1%eth0", "::")} == {None}
    agi = found.settings.agi
    assert agi is not None
    assert (agi.host, agi.port, agi.connections, agi.timeout) == ("127.0.0.1", 4573, 500, timedelta(seconds=5))


def test_each_pbx_has_its_addresses(load: Load) -> None:
    found = load(
        '{listen: "[::]:4573", connections: 7, timeout: 200ms}',
        f"{AMI}, addresses: 192.0.2.7",
        f'{AMI}, addresses: [10.1.0.0/16, "2001:db8::/64", "::ffff:198.51.100.0/120"]',
        f"{ARI}, {AMI}",
    )
    assert found.warnings == ()
    whose = {
        "192.0.2.7": "a",
        "::ffff:192.0.2.7": "a",
        "192.0.2.8": None,
        "10.1.255.1": "b",
        "2001:db8::7": "b",
        "198.51.100.9": "b",
        "127.0.0.1": None,
        "::1": None,
    }
    assert {address: found.pbx_at(address) for address in whose} == whose
    assert found.settings.agi is not None
    assert (found.settings.agi.host, found.settings.agi.connections) == ("::", 7)


def test_addresses_replace_what_an_only_pbx_has(load: Load) -> None:
    found = load('{listen: "0.0.0.0:4573"}', f"{AMI}, addresses: 192.0.2.0/24")
    assert (found.pbx_at("192.0.2.1"), found.pbx_at("127.0.0.1")) == ("a", None)


def test_without_the_key_nobody_has_any(load: Load) -> None:
    assert load(None, f"{ARI}, {AMI}").pbx_at("127.0.0.1") is None
    assert load(None, f"{ARI}, {AMI}, addresses: 127.0.0.1").pbx_at("127.0.0.1") is None
    assert load("", f"{ARI}, {AMI}").settings.agi is None


def test_the_environment_says_it_too(load: Load) -> None:
    environ = {"AGI_SMS_AGI__LISTEN": "0.0.0.0:99", "AGI_SMS_PBX__A__ADDRESSES": "10.0.0.0/8, 192.0.2.7"}
    found = load(None, f"{ARI}, {AMI}", environ=environ)
    assert (found.pbx_at("10.2.3.4"), found.pbx_at("192.0.2.7"), found.pbx_at("127.0.0.1")) == ("a", "a", None)


def test_what_a_reload_takes(load: Load) -> None:
    old = load('{listen: "0.0.0.0:4573"}', f"{ARI}, {AMI}, addresses: 192.0.2.7")
    moved = load('{listen: "0.0.0.0:4573"}', f"{ARI}, {AMI}, addresses: 192.0.2.8")
    assert config.restart_needed(old, moved) == []
    assert config.restart_needed(old, load("{}", f"{ARI}, {AMI}")) == ["agi"]


# --- which way in ---


@pytest.mark.parametrize(
    ("agi", "pbx"),
    [("{}", AMI), ("{}", ""), ("{}", "addresses: 127.0.0.1"), ("{}", f"addresses: 127.0.0.1, {AMI}"), (None, AMI)],
)
def test_ari_is_not_the_only_way(load: Load, agi: str | None, pbx: str) -> None:
    others = [] if AMI in pbx else ["pbx.a: has no ami: calls that come while the gateway is down make no SMS"]
    assert warned(load, agi, pbx) == others


@pytest.mark.parametrize(
    ("agi", "pbxs"),
    [
        (None, [""]),
        (None, ["addresses: 192.0.2.7"]),
        ("{}", ["", f"{AMI}, addresses: 127.0.0.1"]),
    ],
)
def test_a_pbx_without_any_way_in(load: Load, agi: str | None, pbxs: list[str]) -> None:
    (mistake,) = refused(load, agi, *pbxs)
    assert mistake == "pbx.a.ari: is missing: calls reach the gateway over it (or over ami, or FastAGI)"


@pytest.mark.parametrize(
    ("agi", "pbxs", "said"),
    [
        ("{}", [ARI, AMI], ["agi: says of no PBX where its FastAGI comes from: give each one pbx.NAME.addresses"]),
        (
            "{}",
            [f"{AMI}, addresses: 10.0.0.1", f"{AMI}, addresses: [192.0.2.1, 10.0.0.0/8]"],
            [
                "pbx.b.addresses: 10.0.0.0/8 overlaps with 10.0.0.1/32 of pbx a: "
                "an address must tell which PBX a call comes from"
            ],
        ),
        (
            "{}",
            [f"{AMI}, addresses: 10.0.0.1", f'{AMI}, addresses: "::ffff:10.0.0.1"'],
            [
                "pbx.b.addresses: 10.0.0.1/32 overlaps with 10.0.0.1/32 of pbx a: "
                "an address must tell which PBX a call comes from"
            ],
        ),
        (
            "{}",
            [f"{AMI}, addresses: [10.0.0.1/8, pbx.example]", AMI],
            [
                "pbx.a.addresses[0]: must be an address or a network, like 192.0.2.7 or 192.0.2.0/24: "
                "10.0.0.1/8 has host bits set",
                "pbx.a.addresses[1]: must be an address or a network, like 192.0.2.7 or 192.0.2.0/24: "
                "'pbx.example' does not appear to be an IPv4 or IPv6 network",
            ],
        ),
        (
            "{listen: nowhere, connections: 0, timeout: 1h, port: 1}",
            [AMI],
            [
                "agi.listen: must be an address and a port, like 127.0.0.1:9464 or [::1]:9464",
                "agi.connections: must be at least 1",
                "agi.timeout: must be from 100ms to 1m",
                "agi.port: unknown key; known: connections, listen, timeout",
            ],
        ),
        ("on", [AMI], ["agi: must hold keys of its own, `key: value` lines indented below it"]),
    ],
)
def test_mistakes(load: Load, agi: str, pbxs: list[str], said: list[str]) -> None:
    assert refused(load, agi, *pbxs) == said


LONG = "x" * 64


@pytest.mark.parametrize(
    ("pbx", "said"),
    [
        ("ami: {username: gw, secret: x, host: pbx..example}", "ami.host: is no host's name"),
        (f"ami: {{username: gw, secret: x, host: {LONG}.example}}", "ami.host: is no host's name"),
        ('ami: {username: gw, secret: x, host: ""}', "ami.host: must be a host alone"),
        ('ami: {username: gw, secret: x, host: "pbx example"}', "ami.host: must be a host alone"),
        ("ami: {username: gw, secret: x, host: 192.0.2.7:5038}", "ami.host: must be a host alone"),
        ("ami: {username: gw, secret: x, host: 192.0.2.0/24}", "ami.host: must be a host alone"),
        ('ari: {url: "http://pbx..example:8088", username: gw, password: x}', "ari.url: is no host's name"),
        (f'ari: {{url: "http://{LONG}.example:8088", username: gw, password: x}}', "ari.url: is no host's name"),
    ],
)
def test_hosts_that_cannot_be_looked_up(load: Load, pbx: str, said: str) -> None:
    (mistake,) = refused(load, None, pbx)
    assert mistake.startswith(f"pbx.a.{said}")


@pytest.mark.parametrize(
    "host", ["pbx.example", "pbx.example.", "pbx_1", "żółw.example", "192.0.2.7", '"[::1]"', '"::1"']
)
def test_hosts_that_can(load: Load, host: str) -> None:
    ami = load(None, f"ami: {{username: gw, secret: x, host: {host}}}").settings.pbx["a"].ami
    assert ami is not None
    assert ami.host == host.strip('"[]')


@pytest.mark.parametrize("host", ["a..b", f"{LONG}.example", "a/b"])
def test_where_nobody_can_listen(load: Load, host: str) -> None:
    (mistake,) = refused(load, f'{{listen: "{host}:4573"}}', AMI)
    assert mistake.startswith(f"agi.listen: {'must be' if '/' in host else 'is no'} ")


EVERYWHERE = '{listen: "0.0.0.0:4573"}'


@pytest.mark.parametrize(
    ("agi", "pbx", "said"),
    [
        (
            None,
            f"{ARI}, {AMI}, addresses: 10.0.0.1",
            "pbx.a.addresses: does nothing without the key agi, which opens FastAGI: agi: {listen: 127.0.0.1:4573}",
        ),
        (
            EVERYWHERE,
            f"{ARI}, {AMI}",
            "agi.listen: 0.0.0.0:4573 can be reached from elsewhere, and only calls of this machine are served: "
            "give pbx.NAME.addresses, or listen on 127.0.0.1",
        ),
        (
            "{}",
            f"{ARI}, {AMI}, addresses: [127.0.0.1, 10.0.0.1]",
            "pbx.a.addresses: nobody but this machine can reach 127.0.0.1:4573: listen where these get through "
            "(agi.listen)",
        ),
        (
            EVERYWHERE,
            f"{ARI}, {AMI}, addresses: 0.0.0.0/0",
            "pbx.a.addresses: 0.0.0.0/0 lets everybody in: FastAGI knows no password, and who connects can have SMS "
            "sent; name the PBX's addresses",
        ),
    ],
)
def test_warnings(load: Load, agi: str | None, pbx: str, said: str) -> None:
    assert warned(load, agi, pbx) == [said]


@pytest.mark.parametrize("listen", ["localhost:4573", "127.0.0.1:4573", '"[::1]:4573"'])
def test_loopback_is_for_this_machine(load: Load, listen: str) -> None:
    assert warned(load, f"{{listen: {listen}}}", f"{ARI}, {AMI}") == []


def test_the_example_shows_what_is_the_default(tmp_path: Path) -> None:
    source = EXAMPLE.read_text(encoding="utf-8").replace("/var/lib/agi-sms/", f"{tmp_path}/")
    shown = re.sub(r"(?m)^( *)# (agi: |addresses: )", r"\1\2", source)
    assert shown.count("\nagi: ") == shown.count("\n    addresses: ") == 1
    (tmp_path / "agi-sms.yaml").write_text(shown, encoding="utf-8")
    found = config.load(tmp_path / "agi-sms.yaml", {})
    assert found.settings.agi == config_settings.Agi()
    assert (found.pbx_at("127.0.0.1"), found.pbx_at("127.0.0.2")) == ("main", None)
