"""The pictures in the README are what `agi-sms flow` draws of the recipes as they are shipped."""

import re

import pytest

from agi_sms import config, dialplan, dialplan_config, flow_draw, flow_mermaid, flow_words
from tests.unit import recipes

README = (recipes.ROOT / "README.md").read_text(encoding="utf-8")
COMPANY = recipes.ROOT / "tests" / "data" / "dialplan" / "company.txt"
PICTURES = {
    "After an announcement": "sms-announcement",
    "Missed call": "sms-missed-call",
    "Queue given up": "sms-queue-abandoned",
    "After hours": "sms-after-hours",
    "Team on call": "sms-on-call",
    "Order status": "sms-order-status",
    "Ring group": "sms-ring-group",
    "Voicemail left": "sms-voicemail",
    "On FreePBX": "sms-fpbx-queue-watch",
}


@pytest.fixture(scope="module")
def shipped() -> config.Config:
    """The configuration in config/."""
    return config.load(recipes.ROOT / "config" / "agi-sms.yaml", {"SMS_TOKEN": "t", "SHOP_TOKEN": "t"})


def shown(title: str) -> str:
    """The picture below a heading."""
    section = README.partition(f" {title}\n")[2]
    return (
        re.split(r"^#+ ", section, maxsplit=1, flags=re.MULTILINE)[0].partition("```mermaid\n")[2].partition("```")[0]
    )


def drawn(plan: dialplan.Dialplan, context: str, loaded: config.Config) -> str:
    """What the command prints, without the comments, which say where each step is."""
    doors = dialplan_config.doors(loaded.settings, "main", loaded.nodes)
    flow = flow_draw.draw(plan, context, cards=flow_words.cards(loaded.nodes), doors=doors)
    assert flow_words.warnings(flow) == ()
    lines = flow_mermaid.mermaid(flow).splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("  %%"))


@pytest.mark.parametrize(("title", "context"), PICTURES.items())
def test_recipes(shipped: config.Config, title: str, context: str) -> None:
    name = context if context in recipes.RECIPES else "sms-freepbx"
    assert shown(title) == drawn(recipes.plan(name), context, shipped)


def test_the_example_of_the_command(shipped: config.Config) -> None:
    plan = dialplan.parse_show(COMPANY.read_text(encoding="utf-8"))
    assert shown("Draw the flow") == drawn(plan, "announcement", shipped)


def test_every_recipe_has_its_picture() -> None:
    assert set(recipes.RECIPES) == {name if name in recipes.RECIPES else "sms-freepbx" for name in PICTURES.values()}
    assert README.count("```mermaid\n") == len(PICTURES) + 1
