"""Which tests throw anything at which edge. Each promises that no exception escapes it."""

EDGES: dict[str, tuple[str, ...]] = {
    "ARI events": ("tests/contract/test_ari_any_event.py", "tests/unit/test_arguments.py"),
    "AGI headers": ("tests/unit/test_agi_header.py", "tests/contract/test_agi_hostile.py"),
    "AMI events and listings": (
        "tests/contract/test_ami_bare_events.py",
        "tests/unit/test_dialplan_model.py",
        "tests/unit/test_flow_walk.py",
    ),
    "receipts": (
        "tests/contract/test_providers_receipts.py",
        "tests/contract/test_providers_polling.py",
        "tests/contract/test_providers_smpp_hostile.py",
        "tests/unit/test_smpp_pdus.py",
        "tests/unit/test_smpp_receipts.py",
        "tests/unit/test_signatures.py",
    ),
    "configuration files": ("tests/unit/test_config_hostile.py", "tests/unit/test_http_bounds.py"),
    "answers of the customer's API": (
        "tests/contract/test_content_http.py",
        "tests/unit/test_content_reading.py",
        "tests/unit/test_content_request.py",
        "tests/unit/test_http_body.py",
    ),
    "answers of providers": (
        "tests/contract/test_providers_http.py",
        "tests/unit/test_http_rules.py",
        "tests/unit/test_http_mask.py",
    ),
    "numbers and texts of strangers": (
        "tests/unit/test_numbers.py",
        "tests/unit/test_plan.py",
        "tests/unit/test_segments.py",
        "tests/unit/test_text.py",
        "tests/unit/test_logs.py",
    ),
    "any order of events in the outbox": (
        "tests/contract/test_outbox_states.py",
        "tests/contract/test_outbox_content_states.py",
        "tests/contract/test_outbox_receipts_states.py",
    ),
}
