"""Every number that the gateway counts, declared in one place (Prometheus)."""

from prometheus_client import Counter, Gauge, Histogram

CALLS = Counter(
    "agi_sms_calls", "Visits of calls to a node, by what the dialplan was told.", ["pbx", "entry", "status"]
)
USER_EVENTS = Counter(
    "agi_sms_user_events",
    "Events of the dialplan's UserEvent(AgiSms): visit, look (one waits in AstDB), standby (another gateway's), "
    "unreadable, overflow, lost (it could not be stored).",
    ["pbx", "result"],
)
FAULTS = Counter("agi_sms_faults", "What went wrong without stopping a call, by kind.", ["kind"])
CONNECTS = Counter("agi_sms_pbx_connects", "Connections made to Asterisk.", ["pbx", "door"])
LOSSES = Counter("agi_sms_pbx_losses", "Connections to Asterisk that were lost.", ["pbx", "door"])
RECOVERED = Counter("agi_sms_recovered_calls", "Parked calls found without having heard of them.", ["pbx"])
HELD = Histogram(
    "agi_sms_held_seconds",
    "How long a call was in the node, by Asterisk's own clock (FastAGI: by ours).",
    ["pbx"],
    buckets=(0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.5, 1, 2, 5),
)
LOOP_LAG = Histogram(
    "agi_sms_loop_lag_seconds",
    "How late the gateway came to what was due; calls wait as long.",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5),
)
AGI_DROPPED = Counter(
    "agi_sms_agi_dropped", "FastAGI connections closed because they were of no use, by reason.", ["reason"]
)
SPOOLED = Counter("agi_sms_spooled_calls", "Visits set aside because the outbox did not take them in time.")
ATTEMPTS = Counter("agi_sms_attempts", "Submissions to providers, by what came of them.", ["provider", "outcome"])
CONTENT_REQUESTS = Counter(
    "agi_sms_content_requests",
    "Texts asked for, by what came of it: answered, or the reason; left_alone: the host was not asked.",
    ["result"],
)
CONTENT_LEFT_ALONE = Gauge("agi_sms_content_hosts_left_alone", "Hosts of customers' systems that keep failing.")
PROVIDERS_LEFT_ALONE = Gauge("agi_sms_providers_left_alone", "Providers that get nothing for a while, after faults.")
RECEIPTS = Counter(
    "agi_sms_receipts",
    "Receipts: matched, unmatched (nobody's so far), or known (it had come before).",
    ["provider", "result"],
)
POLLS = Counter(
    "agi_sms_polls", "Times that it was asked what became of messages: answered, or in vain.", ["provider", "result"]
)
SETTLED = Counter("agi_sms_settled", "Messages whose status a receipt changed, by the new one.", ["provider", "status"])


def fault(kind: str) -> None:
    """Count one fault."""
    FAULTS.labels(kind=kind).inc()
