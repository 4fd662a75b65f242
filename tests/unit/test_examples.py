"""Every example in config/ is loaded as it stands, and says what its comments promise."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from agi_sms import call, config, message, node, plan, text
from tests.contract import peer

FOLDER = Path(__file__).parents[2] / "config"
MAIN = FOLDER / "agi-sms.yaml"


@pytest.fixture(scope="module", name="loaded")
def _loaded() -> config.Config:
    return config.load(MAIN, {})


def test_the_examples_are_right_with_no_environment(loaded: config.Config) -> None:
    told = [warning.partition(": ")[2] for warning in loaded.warnings]
    still = "is still what stands for it in an example; write your own"
    assert told == [f"pbx.main.ari.password: {still}", f"pbx.main.ami.secret: {still}"]
    assert config.load(MAIN, {"ARI_PASSWORD": "one", "AMI_SECRET": "two"}).warnings == ()
    assert list(loaded.providers) == ["print"]
    assert "every SMS is printed" in config.format_report(loaded)


def test_every_file_is_used(loaded: config.Config) -> None:
    files = {Path(detail.where.partition(":")[0]).name for detail in loaded.details.values()}
    assert files == {path.name for path in (FOLDER / "nodes.d").iterdir()}
    used = {detail.template for detail in loaded.details.values()} - {""}
    assert used == {path.stem for path in (FOLDER / "templates.d").iterdir()}


def test_secrets_and_the_data_folder_come_from_the_environment() -> None:
    found = config.load(MAIN, {"ARI_PASSWORD": "one", "AMI_SECRET": "two", "AGI_SMS_DATABASE": "/srv/sms/x.db"})
    main = found.settings.pbx["main"]
    assert main.ari is not None
    assert main.ami is not None
    assert main.ari.password.get_secret_value() == "one"
    assert main.ami.secret.get_secret_value() == "two"
    assert found.settings.database == Path("/srv/sms/x.db")
    assert found.settings.spool_path == Path("/srv/sms/x.spool")


def test_the_commented_lines_are_right_as_well(tmp_path: Path) -> None:
    """What is behind a # in front of a key is shown as an example, so it has to load."""
    source = MAIN.read_text(encoding="utf-8").replace("/var/lib/agi-sms/", f"{tmp_path}/")
    keys = (
        "# spool:",
        "# hold_budget:",
        "# log:",
        "# metrics:",
        "# retry:",
        "# max_age:",
        "# concurrency:",
        "# drain:",
        "# content:",
        "# receipts:",
        "# health:",
    )
    lines = []
    block = ""
    for line in source.splitlines():
        stripped = line.lstrip()
        block = stripped if stripped in ("# providers:", "# trunks:") else block if stripped.startswith("#") else ""
        uncomment = stripped.startswith(keys) or bool(block)
        lines.append(line.replace("# ", "", 1) if uncomment else line)
    (tmp_path / "agi-sms.yaml").write_text("\n".join(lines), encoding="utf-8")
    found = config.load(tmp_path / "agi-sms.yaml", {})
    assert "acme" in found.settings.pbx["main"].trunks
    assert list(found.providers) == ["print", "audit", "company", "carrier"]
    assert getattr(found.providers["company"], "receipt_url", "") == "https://sms.example/receipts/company"
    assert found.settings.metrics is not None
    defaults = config.load(MAIN, {}).settings
    for key in ("hold_budget", "log", "retry", "max_age", "concurrency", "drain", "content", "health"):
        assert getattr(found.settings, key) == getattr(defaults, key), f"{key} is not the default that it claims to be"


def test_the_announcement_is_one_plain_segment(loaded: config.Config) -> None:
    info = loaded.nodes["company-info"]
    sized = loaded.details["company-info"].sized
    assert sized is not None
    assert (info.delay, info.send_to_caller, info.recipients) == (timedelta(seconds=30), True, ())
    assert (sized.encoding, sized.segments) == (message.Encoding.GSM7, 1)
    assert "Zazolc z nami gesla jazn" in sized.text
    as_written = text.measure(loaded.details["company-info"].sample)
    assert (as_written.encoding, as_written.segments) == (message.Encoding.UCS2, 2)


def test_the_shop_is_asked_how_an_order_stands(loaded: config.Config, tmp_path: Path) -> None:
    order = loaded.nodes["order-status"]
    assert order.asking is not None
    assert order.asking.on_error is node.OnError.FALLBACK
    assert loaded.details["order-status"].variables == ("ORDER_ID",)
    assert loaded.details["order-status"].sized is None
    source = (FOLDER / "nodes.d" / "order-status.yaml").read_text(encoding="utf-8")
    (tmp_path / "shop-ca.pem").write_text(peer.CERTIFICATE)
    source = source.replace("/etc/agi-sms/shop-ca.pem", str(tmp_path / "shop-ca.pem"))
    (tmp_path / "nodes.d").mkdir()
    (tmp_path / "nodes.d" / "all.yaml").write_text(re.sub(r"(?m)^( +)# ", r"\1", source), encoding="utf-8")
    (tmp_path / "agi-sms.yaml").write_text("region: PL\n")
    all_of_it = config.load(tmp_path / "agi-sms.yaml", {"SHOP_SECRET": "secret"})
    api = all_of_it.sources["order-status"]
    assert set(type(api).model_fields) == api.model_fields_set, "a key of content.api is not shown"


def test_the_elements_own_settings(loaded: config.Config) -> None:
    element = loaded.nodes["sms-gateway"]
    assert element.delay == timedelta(minutes=5)
    assert [one.number for one in element.recipients] == ["+48600100300", "+48600100301"]
    assert (element.sender, element.send_to_caller, element.once_per_call) == ("ACME", True, True)


def test_the_team_on_call(loaded: config.Config) -> None:
    alarm = loaded.nodes["on-call-alarm"]
    assert alarm.recipients[0] == node.Recipient(number="+48600100200", group="oncall")
    assert alarm.recipients[-1] == node.Recipient(number="+48600100210")
    assert (alarm.once_per_call, alarm.max_age) == (False, timedelta(minutes=15))


def test_the_routes_by_number_are_right_as_well(tmp_path: Path) -> None:
    source = MAIN.read_text(encoding="utf-8")
    shown = [line.removeprefix("# ") for line in source.splitlines() if re.match(r"#   default:|#     - ", line)]
    providers = "{company: {type: print}, carrier: {type: print}}"
    node_of_it = "{a: {recipients: '+48600100200, +12125550123', content: {text: A}}}"
    (tmp_path / "agi-sms.yaml").write_text(
        "\n".join(["routes:", *shown, f"providers: {providers}", f"nodes: {node_of_it}"]), encoding="utf-8"
    )
    route = config.load(tmp_path / "agi-sms.yaml", {}).nodes["a"].route
    assert route.for_number("+48600100200") == ("company", "carrier")
    assert route.for_number("+12125550123") == ("carrier",)


@pytest.mark.parametrize("name", ["ż" * 39, "\U0001f600" * 39, "㌖" * 39, "." * 39, "€" * 60])
def test_no_callers_name_silences_the_alarm(loaded: config.Config, name: str) -> None:
    at = call.Call(
        pbx="main",
        key="main/1795439100.12",
        call_id="1795439100.12",
        caller="+48600100299",
        presentation="allowed",
        caller_name=name,
        dialled="+48221131415",
    )
    arrived = datetime(2026, 11, 23, 13, 5, tzinfo=UTC)
    visit = call.Visit(id="v", node="on-call-alarm", entry=call.Entry.ARI, arrived_at=arrived, call=at)
    alarm = loaded.nodes["on-call-alarm"]
    planned = plan.plan(visit, alarm, loaded.rules("main", ""))
    assert planned.count == len(alarm.recipients) == 3
    for draft in planned.drafts:
        assert draft.segments <= 2
        assert "+48600100299" in (draft.text or "")


def test_the_missed_call_asks_how_the_call_ended(loaded: config.Config) -> None:
    missed = loaded.nodes["missed-call"]
    assert missed.dialplan_recipients
    assert loaded.details["missed-call"].variables == ("DIALSTATUS", "PHONE")
    assert missed.wants({"DIALSTATUS": "CANCEL"})
    assert not missed.wants({"DIALSTATUS": "ANSWER"})
    assert not missed.wants({})


# --- the recipes -----------------------------------------------------------------------------------------

RECIPES = sorted((FOLDER.parent / "dialplan").glob("sms-*.conf"))
README = (FOLDER.parent / "README.md").read_text(encoding="utf-8")
BY_FILE = pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)


def code(recipe: Path) -> str:
    """A recipe without its comments."""
    lines = (line.split(";")[0].rstrip() for line in recipe.read_text(encoding="utf-8").splitlines())
    return "\n".join(line for line in lines if line)


def visits(recipe: Path) -> list[tuple[str, str, str]]:
    """Subroutine, node and what is handed over, of each visit."""
    return re.findall(r"\b(agi-sms(?:-event)?),s,1\(([\w-]+)(.*)\)", code(recipe))


@BY_FILE
def test_a_recipes_node_gets_what_it_asks_for(recipe: Path, loaded: config.Config) -> None:
    found = visits(recipe)
    assert found
    for _, name, given in found:
        handed_over = set(re.findall(r",var\.(\w+)=", given))
        assert handed_over == set(loaded.details[name].variables), name
        assert loaded.nodes[name].dialplan_recipients == (",recipients=" in given), name


@BY_FILE
def test_a_call_that_is_over_is_not_sent_through_the_gateway(recipe: Path) -> None:
    """Nobody could come back to it; contexts that only a hangup handler runs count as well."""
    text = code(recipe)
    handlers = re.findall(r"hangup_handler_push\)=([\w-]+),", text)
    for context in re.split(r"^(?=\[)", text, flags=re.MULTILINE)[1:]:
        name = context[1 : context.index("]")]
        for extension in re.split(r"^(?=exten)", context, flags=re.MULTILINE)[1:]:
            over = name in handlers or extension.startswith("exten => h,")
            ways = set(re.findall(r"\b(agi-sms(?:-event)?),s,1\(", extension))
            assert ways <= {"agi-sms-event" if over else "agi-sms"}, name


@BY_FILE
def test_a_recipes_head_says_what_it_needs(recipe: Path, loaded: config.Config) -> None:
    head, _, _ = recipe.read_text(encoding="utf-8").partition("\n[")
    told = " ".join(head.replace(";", " ").split())
    for way, name, _ in visits(recipe):
        assert f"{way}.conf" in told
        assert name in told
        if recipe.stem != "sms-freepbx":
            assert f"config/nodes.d/{Path(loaded.details[name].where.partition(':')[0]).name}" in told
    for application in ("Dial", "Queue", "Read", "Voicemail", "Playback"):
        if f"{application}(" in code(recipe):
            assert f"app_{application.lower()}" in told
    for context in re.findall(r"^\[(sms-fpbx-\S+)\]", code(recipe), re.MULTILINE):
        assert context in told or context in re.findall(r"push\)=([\w-]+),", code(recipe))


@BY_FILE
def test_a_node_names_its_recipe_and_the_readme_shows_it(recipe: Path, loaded: config.Config) -> None:
    assert f"[{recipe.name}](dialplan/{recipe.name})" in README
    _, _, own = README.partition(f"[{recipe.name}]")
    shown, picture = re.findall(r"^```(?:mermaid)?\n(.*?)^```", own, re.MULTILINE | re.DOTALL)[:2]
    lines = recipe.read_text(encoding="utf-8").splitlines()
    assert [line for line in shown.splitlines() if line not in lines] == []
    assert len(shown.splitlines()) <= 12
    assert picture.startswith("flowchart TD\n")
    if recipe.stem != "sms-freepbx":
        for _, name, _ in visits(recipe):
            assert f"✉ {name}<br/>" in picture
            where = FOLDER / "nodes.d" / Path(loaded.details[name].where.partition(":")[0]).name
            assert f"Recipe: dialplan/{recipe.name}" in where.read_text(encoding="utf-8")


@BY_FILE
def test_an_extension_of_any_length_is_encoded(recipe: Path) -> None:
    """`_X!` fits whatever was dialled behind its first digit."""
    assert re.findall(r"(?:var\.\w+|recipients|sender|delay)=\$\{EXTEN\}", code(recipe)) == []


def test_the_compose_file_fits_the_examples() -> None:
    """What it mounts and builds is there, and the gateway knows the passwords of the Asterisk beside it."""
    docker = FOLDER.parent / "docker"
    services = YAML(typ="safe").load((docker / "compose.yaml").read_text(encoding="utf-8"))["services"]
    for service in services.values():
        assert (docker / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        for mounted in service["volumes"]:
            if mounted.startswith("."):
                assert (docker / mounted.split(":")[0]).exists(), mounted
    known = services["gateway"]["environment"]
    assert f"password = {known['ARI_PASSWORD']}\n" in (FOLDER / "asterisk" / "ari.conf").read_text(encoding="utf-8")
    assert f"secret = {known['AMI_SECRET']}\n" in (FOLDER / "asterisk" / "manager.conf").read_text(encoding="utf-8")
