"""What may stand under `content.api`, and what is said where something else does."""

import subprocess
import sys
from datetime import timedelta
from typing import Any

import pydantic
import pytest

from agi_sms import http_words, node
from agi_sms.content import settings as api_settings

URL = "https://shop.example/sms-text"


def made(**changes: Any) -> api_settings.Api:
    return api_settings.Api.model_validate({"url": URL, **changes})


def test_the_shortest_one_has_defaults() -> None:
    api = made()
    assert (api.method, api.body, api.response, api.timeout) == ("POST", "form", "text", timedelta(seconds=5))
    assert (api.fetch, api.retries, api.on_error, api.allow) == (node.Fetch.ARRIVAL, 2, None, ())
    assert (api.private_addresses, api.redirects, api.max_size) == ("allow", False, 65536)
    sent = dict(api.params.names())
    assert list(sent) == ["from_number", "to_number", "call_id", "node", "pbx", "activation_id"]
    assert list(sent) == list(sent.values())


def test_the_one_of_the_documentation() -> None:
    api = made(
        method="POST",
        timeout="3s",
        response="json",
        params={"from_number": True, "to_number": "did", "call_id": False, "diverted_from": True},
        number_format="digits",
        fields={"shop": "12", "lang": "pl"},
        vars="ORDER_ID, LANG_2",
        body="json",
        headers={"Authorization": "Bearer s3cr3t-token"},
        sign={"secret": "shared"},
        fetch="send",
        retries=0,
        on_error="fallback",
        allow=["sender", "send"],
        private_addresses="deny",
        redirects=True,
        max_size="1MiB",
    )
    assert dict(api.params.names())["to_number"] == "did"
    assert "call_id" not in dict(api.params.names())
    assert api.vars == ("ORDER_ID", "LANG_2")
    assert api.max_size == 1 << 20
    assert api.allow == (node.Allowed.SENDER, node.Allowed.SEND)


def test_a_configuration_is_checked_without_the_libraries_that_ask() -> None:
    code = "import sys; from agi_sms.content import settings as s; s.Api(url='http://a.example/'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"aiohttp", "yarl", "elementpath", "jsonpath"} & set(loaded)


MISTAKES: list[tuple[str, dict[str, Any], str]] = [
    ("method", {"method": "PUT"}, "'GET' or 'POST'"),
    ("body with GET", {"method": "GET", "body": "json"}, "body: a GET has none"),
    ("the default body with GET", {"method": "GET", "body": "form"}, "body: a GET has none"),
    ("kind of body", {"body": "xml"}, "'form' or 'json'"),
    ("scheme", {"url": "ftp://shop.example/"}, "must start with http"),
    ("no scheme", {"url": "shop.example/sms"}, "must start with http"),
    ("no host", {"url": "http:///sms"}, "must start with http"),
    ("template in the url", {"url": "https://shop.example/{{ caller }}"}, "params, fields and vars"),
    ("template as host", {"url": "https://{{ caller }}/"}, "params, fields and vars"),
    ("login in the url", {"url": "https://me:pw@shop.example/"}, "under headers.Authorization"),
    ("fragment", {"url": "https://shop.example/#a"}, "fragment"),
    ("umlaut", {"url": "https://sklep-ż.example/"}, "punycode"),
    ("line break", {"url": "https://shop.example/\r\nX: y"}, "plain ASCII"),
    ("space", {"url": "https://shop.example/a b"}, "%20"),
    ("port too high", {"url": "https://shop.example:65536/"}, "port"),
    ("port 0", {"url": "https://shop.example:0/"}, "port"),
    ("empty port", {"url": "https://shop.example:/"}, "port"),
    ("port that is none", {"url": "https://shop.example:80:90/"}, "port"),
    ("empty label", {"url": "https://shop..example/"}, "no name"),
    ("hyphen first", {"url": "https://-shop.example/"}, "no name"),
    ("number as host", {"url": "http://2130706433/"}, "192.0.2.1"),
    ("short address", {"url": "http://127.1/"}, "192.0.2.1"),
    ("hexadecimal address", {"url": "http://0x7f.1/"}, "192.0.2.1"),
    ("octal address", {"url": "http://0177.0.0.1/"}, "192.0.2.1"),
    ("IPv6 that is none", {"url": "http://[::12345]/"}, "none"),
    ("bracket", {"url": "http://a[b/"}, "none"),
    ("bracket and more", {"url": "http://[::1]x/"}, "brackets"),
    ("timeout too short", {"timeout": "99ms"}, "from 100ms to 60s"),
    ("timeout too long", {"timeout": "61s"}, "from 100ms to 60s"),
    ("timeout without a unit", {"timeout": 3}, "write 0 or a number with a unit"),
    ("response", {"response": "yaml"}, "'text', 'json' or 'xml'"),
    ("message of a text", {"message": "$.message"}, "response: json or xml"),
    ("message that is no JSONPath", {"response": "json", "message": "$..["}, "message: "),
    ("message that is no XPath", {"response": "xml", "message": "//["}, "message: "),
    ("message of the other kind", {"response": "json", "message": "/a/b"}, "message: "),
    ("unknown param", {"params": {"caller": True}}, "Extra inputs"),
    ("number as param", {"params": {"from_number": 1}}, "true, false, or the name"),
    ("empty param", {"params": {"from_number": ""}}, "1 to 64"),
    ("param with a line break", {"params": {"from_number": "a\r\nb"}}, "1 to 64"),
    ("number format", {"number_format": "plain"}, "'e164'"),
    ("number as field", {"fields": {"shop": 12}}, "valid string"),
    ("truth as field", {"fields": {"shop": True}}, "valid string"),
    ("nothing as field", {"fields": {"shop": None}}, "valid string"),
    ("list as field", {"fields": {"shop": ["a"]}}, "valid string"),
    ("field without a name", {"fields": {"": "a"}}, "1 to 64"),
    ("variable", {"vars": ["ORDER-ID"]}, "like ORDER_ID"),
    ("function as variable", {"vars": ["CALLERID(num)"]}, "like ORDER_ID"),
    ("same name twice", {"fields": {"lang": "pl"}, "vars": ["lang"]}, "lang is sent as fields.lang already"),
    ("same name renamed", {"params": {"to_number": "did"}, "fields": {"did": "1"}}, "did is sent as params.to_number"),
    ("same name twice in vars", {"vars": ["A", "A"]}, "A is sent as vars already"),
    ("same name in the query", {"method": "GET", "url": URL + "?pbx=1"}, "pbx is sent as in the url already"),
    ("header's name", {"headers": {"X Y": "a"}}, "no header's name"),
    ("header of ours", {"headers": {"content-length": "1"}}, "set by the gateway"),
    ("Host", {"headers": {"Host": "a"}}, "set by the gateway"),
    ("Content-Type", {"headers": {"Content-Type": "a/b"}}, "set by the gateway"),
    ("signature", {"headers": {"Agi-Sms-Signature": "a"}}, "gateway's own"),
    ("proxy", {"headers": {"Proxy-Authorization": "a"}}, "proxy"),
    ("header twice", {"headers": {"X-A": "a", "x-a": "b"}}, "twice"),
    ("header with a line break", {"headers": {"X-A": "a\r\nX-B: b"}}, "one line"),
    ("no secret", {"sign": {"secret": " "}}, "must not be empty"),
    ("retries", {"retries": 11}, "less than or equal to 10"),
    ("on_error", {"on_error": "drop"}, "'fallback', 'skip' or 'hold'"),
    ("allow of text", {"allow": ["sender"]}, "response: json"),
    ("allow of xml", {"response": "xml", "allow": "sender"}, "response: json"),
    ("allow what there is not", {"response": "json", "allow": ["text"]}, "'sender'"),
    ("addresses", {"private_addresses": True}, "'allow' or 'deny'"),
    ("redirects in words", {"redirects": "yes"}, "valid boolean"),
    ("size as a word", {"max_size": "large"}, "like 64KiB"),
    ("size as truth", {"max_size": True}, "like 64KiB"),
    ("size too small", {"max_size": 1023}, "from 1KiB to 1MiB"),
    ("size too large", {"max_size": "2MiB"}, "from 1KiB to 1MiB"),
    ("unknown key", {"nonsense": 1}, "Extra inputs"),
]


@pytest.mark.parametrize(("changes", "said"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES])
def test_mistakes_say_what_would_be_right(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        made(**changes)
    assert said in str(caught.value)
    assert len(caught.value.errors()) == 1


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "https://10.1.2.3:8443/a?b=c",
        "http://169.254.169.254/latest",
        "http://[::1]/",
        "http://[::ffff:192.168.0.1]/",
        "http://[fe80::1]/",
        "http://localhost:5000/",
        "http://shop.LOCALHOST./",
        "http://0.0.0.0/",
    ],
)
def test_private_hosts_are_a_mistake_only_where_they_are_denied(url: str) -> None:
    assert made(url=url).url == url
    with pytest.raises(pydantic.ValidationError, match="private_addresses: deny refuses"):
        made(url=url, private_addresses="deny")


@pytest.mark.parametrize("url", ["https://8.8.8.8/", "http://[2606:4700::1111]:81/", "https://shop.example./", URL])
def test_public_hosts_are_not(url: str) -> None:
    assert made(url=url, private_addresses="deny").url == url


PRIVATE = """
0.0.0.0 0.1.2.3 10.0.0.1 100.64.0.1 127.0.0.1 127.255.255.255 169.254.169.254 172.16.0.1 172.31.255.255 192.0.0.8
192.0.2.1 192.168.1.1 198.18.0.1 198.51.100.1 203.0.113.1 224.0.0.1 239.1.2.3 240.0.0.1 255.255.255.255
:: ::1 ::127.0.0.1 ::ffff:10.0.0.1 ::ffff:127.0.0.1 64:ff9b::7f00:1 64:ff9b::10.0.0.1 64:ff9b:1::808:808 100::1
2001::1 2001:0:4136:e378:8000:63bf:3fff:fdd2 2001:db8::1 2002:7f00:1::1 2002:a00:1::1 fc00::1 fd12:3456::1 fe80::1
fe80::1%eth0 fec0::1 ff02::1 ff0e::1 localhost 2130706433 127.1 0x7f000001 shop.example 1.2.3.4.5 ٣.1.1.1
"""
PUBLIC = """
1.1.1.1 8.8.8.8 100.63.255.255 172.32.0.1 193.0.0.1 2606:4700::1111 2a00:1450:4001::1 ::ffff:8.8.8.8 64:ff9b::808:808
2002:808:808::1
"""


@pytest.mark.parametrize("address", ["", " 8.8.8.8", *PRIVATE.split()])
def test_addresses_that_are_not_of_the_public_internet(address: str) -> None:
    assert http_words.private(address)


@pytest.mark.parametrize("address", PUBLIC.split())
def test_addresses_that_are(address: str) -> None:
    assert not http_words.private(address)


def test_secrets_are_named_and_never_shown() -> None:
    api = made(
        url=URL + "?key=in%2furl&page=2",
        headers={"Authorization": "Bearer tok-1", "X-Key": "k", "Accept-Language": "pl", "X-Trace": "trace-me-not"},
        fields={"api_key": "constant", "lang": "pl"},
        sign={"secret": "shared"},
    )
    assert api.secrets() == {
        "Bearer tok-1", "tok-1", "k", "trace-me-not", "constant", "shared", "in/url", "in%2furl"
    }  # fmt: skip
    assert repr(api) == f"Api(method='POST', url='{URL}', response='text')"
    for secret in api.secrets() - {"k"}:
        assert secret not in f"{api} {api!r} {api.model_dump()['headers']} {api.sign!r}"


def test_mistakes_do_not_show_secrets() -> None:
    with pytest.raises(pydantic.ValidationError) as caught:
        made(headers={"Authorization": "Bearer tok-1\n"}, fields={"password": ["tok-1"]}, sign={"secret": ["tok-1"]})
    assert "tok-1" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("said: s3cr3t-token!", "said: ***!"),
        ("%22s3cr3t%2Dtoken s3cr3t", "%22*** ***"),
        ("and s3cr3t%2dtok", "and ***"),
        ("and s3cr3t%252", "and ***"),
        ("and s3cr3t\\u002…", "and ***…"),
        ("and s3cr3t&#4", "and ***"),
        ("and s3cr3t-t", "and ***"),
        ("and s3cr3t-tok…", "and ***…"),
        ("and s3cr3", "and s3cr3"),
        ("and s3cr3t-token", "and ***"),
        ("", ""),
    ],
)
def test_a_secret_that_is_cut_off_is_hidden_too(text: str, masked: str) -> None:
    assert http_words.Mask({"s3cr3t-token"}).clipped(text) == masked


SECRET = "s3cr/et+tok=en"


@pytest.mark.parametrize(
    "echo",
    [
        SECRET,
        "s3cr%2Fet%2Btok%3Den",
        "s3cr%2fet%2btok%3den",
        "s3cr%252Fet%252Btok%253Den",
        "".join(f"\\u{ord(char):04x}" for char in SECRET),
        "s3cr\\u002fet+tok=en",
        "&#115;3cr/et+tok=en",
        "&#x73;3cr&#x2F;et&#x2B;tok&#x3D;en",
        "s3cr\\/et+tok=en",
        "s3cr\\\\\\/et+tok=en",
        "czNjci9ldCt0b2s9ZW4%3D",
    ],
)
def test_a_secret_is_hidden_in_whatever_it_is_wrapped(echo: str) -> None:
    mask = http_words.Mask({SECRET})
    assert mask(f"bad token <{echo}> refused") == "bad token <***> refused"
    assert mask(f'{{"said": "{echo}"}}') == '{"said": "***"}'
    assert mask("100%25 s3cr&amp;t") == "100%25 s3cr&amp;t"


def test_of_two_secrets_that_begin_alike_nothing_is_left() -> None:
    for words in (["s3cr3t", "s3cr3t-longer"], ["s3cr3t-longer", "s3cr3t"]):
        assert http_words.Mask(words)("a s3cr3t-longer b s3cr3t c") == "a *** b *** c"


@pytest.mark.parametrize(
    ("secret", "text", "masked"),
    [
        ('a"b\\c/d', 'x a\\"b\\\\c/d y', "x *** y"),  # as JSON has it
        ('a"b\\c/d', "x a&quot;b\\c/d y", "x *** y"),
        ("a b/c", "x a+b%2Fc a%20b%2Fc y", "x *** *** y"),
        ("user-t0k", "x dXNlci10MGs= y", "x *** y"),
        ("abcd", "xabcdx", "x***x"),
        ("abc", "xabcx abc", "xabcx ***"),
        ("", "abc", "abc"),
    ],
)
def test_forms_of_a_secret(secret: str, text: str, masked: str) -> None:
    assert http_words.Mask([secret])(text) == masked


def test_a_login_is_hidden_as_http_sends_it() -> None:
    mask = http_words.Mask([], login="user:t0k")
    assert mask("Basic dXNlcjp0MGs= refused") == "Basic *** refused"
    assert http_words.Mask([])("Basic dXNlcjp0MGs= refused") == "Basic dXNlcjp0MGs= refused"


def test_a_secret_that_is_cut_off_anywhere_is_hidden() -> None:
    secret = "s3cr3t-t0ken"
    mask = http_words.Mask([secret])
    for size in range(6, len(secret) + 1):
        assert mask.clipped(f"and {secret[:size]}") == "and ***"
        assert mask.clipped(f"and {secret[:size]}…") == "and ***…"
    assert mask.clipped("and s3cr3") == "and s3cr3"
    assert mask.clipped("and so on…") == "and so on…"


@pytest.mark.parametrize(
    ("address", "templates", "says"),
    [
        (
            "https://shop.example/ż",
            "",
            "must be plain ASCII; write other characters percent-encoded, the host in punycode",
        ),
        ("https://me:pw@shop.example/", "", "must not hold a user and password; write them under auth"),
        ("ftp://shop.example/", "", "must start with http:// or https:// and a fixed host"),
        ("ftp://shop.example/", "{{ }} later", "must start with http:// or https:// and a fixed host; {{ }} later"),
        ("https://shop.example/#a", "", "must not hold a fragment (#)"),
    ],
)
def test_what_is_wrong_with_an_address(address: str, templates: str, says: str) -> None:
    with pytest.raises(ValueError) as caught:
        http_words.check_address(address, login="auth", templates=templates)
    assert str(caught.value) == says
    http_words.check_address("HTTPS://shop.example:8443/a?b=c@d", login="auth")


def test_what_is_wrong_with_a_headers_name() -> None:
    for name, says in (("X Y", "'X Y' is no header's name"), ("ż" * 50, f"'{'ż' * 40}' is no header's name"),
                       ("Accept", "Accept is set by the gateway itself")):  # fmt: skip
        with pytest.raises(ValueError) as caught:
            http_words.check_header_name(name, {"accept"})
        assert str(caught.value) == says
