"""What people ask for in the demo and why: the words of its incidents and requests."""

from __future__ import annotations

from approvals.models import FileFate, Urgency

from .journey import Wish
from .services import (
    LEDGER_PREVIEW,
    LEDGER_PRODUCTION,
    LEDGER_STAGING,
    SHARDS,
    WALLET_ARCHIVE,
    WALLET_PRODUCTION,
    WALLET_STAGING,
)

LIMIT, KEYS, NICKNAMES = ("2025.11.25.001",), ("2025.11.22.001",), ("2025.11.27.001",)
AMOUNTS, LANGUAGE = "10", "9"
PARTITIONS, CONNECTIONS = ("001",), ("999",)
SEVERAL_DEVICES = ("2",)

TOP_UPS_REFUSED = Wish(
    by="amina",
    target=WALLET_PRODUCTION,
    versions=LIMIT,
    title="Top-ups refused for wallets above 10,000",
    reason="Any update of a wallet that already holds more than the new limit fails with a check violation.",
    impact="Every fifth wallet can neither pay nor be topped up since this morning's release.",
    forward_fix="Raising the limit needs a decision of compliance, which comes on Thursday at the earliest.",
    fate=FileFate.REPLACED,
    app_version="wallet-service 4.11.3",
    urgency=Urgency.EMERGENCY,
)
LIMIT_ON_STAGING = Wish(
    by="bram",
    target=WALLET_STAGING,
    versions=LIMIT,
    title="Staging keeps the wallet limit that production lost",
    reason="Staging should have the schema of production again before the next release is tested.",
    impact="Tests of top-ups fail on staging only.",
    forward_fix="A forward migration would have to run on production as well.",
    fate=FileFate.REPLACED,
    app_version="wallet-service 4.11.3",
    urgency=Urgency.PLANNED,
)
CASCADES = Wish(
    by="amina",
    target=WALLET_PRODUCTION,
    versions=KEYS,
    title="Deleting a closed account took its wallets along",
    reason="Since the foreign keys cascade, the nightly clean-up of people deletes wallets and tokens.",
    impact="14 wallets of closed accounts had to be restored by hand; the clean-up is switched off.",
    forward_fix="Three services clean up; all would have to change before that may run again.",
    app_version="wallet-service 4.11.1",
)
CASCADES_ON_STAGING = Wish(
    by="amina",
    target=WALLET_STAGING,
    versions=(*LIMIT, *KEYS),
    title="Testers lose their wallets with every clean-up",
    reason="The clean-up of staging deletes people every evening, and the keys cascade to their wallets.",
    impact="Tests of top-ups begin with empty tables every morning.",
    forward_fix="Production is to lose the cascades by a rollback; a migration would do it there twice.",
    app_version="wallet-service 4.11.1",
    urgency=Urgency.PLANNED,
)
CASCADES_TOO_EARLY = Wish(
    by="kwame",
    target=WALLET_PRODUCTION,
    versions=KEYS,
    title="Clean-up of closed accounts deletes too much",
    reason="The new cascades delete wallets.",
    impact="Support has four tickets about missing wallets.",
    forward_fix="None was looked at yet.",
    app_version="wallet-service 4.11.1",
)
CASCADES_FORGOTTEN = Wish(
    by="bram",
    target=WALLET_PRODUCTION,
    versions=KEYS,
    title="Verification tokens vanish with their people",
    reason="Fraud analysis wants the tokens of deleted people for ninety days.",
    impact="Analysis of one case had to stop.",
    forward_fix="A copy of the tokens could be kept elsewhere; that is planned for next year.",
    app_version="wallet-service 4.11.1",
    urgency=Urgency.PLANNED,
)
LANGUAGES_IN_ARCHIVE = Wish(
    by="amina",
    target=WALLET_ARCHIVE,
    versions=(AMOUNTS, LANGUAGE),
    title="The regulator's report stops at the archive",
    reason="The report refuses a table of people with a column that it does not know.",
    impact="No report went out since the archive was migrated; the next one is due at six in the morning.",
    forward_fix="The program is the regulator's own, and they release it twice a year.",
    fate=FileFate.SUPERSEDED,
    app_version="wallet-archive 1.3.0",
    urgency=Urgency.EMERGENCY,
)
AMOUNTS_IN_ARCHIVE = Wish(
    by="bram",
    target=WALLET_ARCHIVE,
    versions=(AMOUNTS,),
    title="Refunds of zero don't reach the archive",
    reason="The job that moves payments to the archive stops at the first refund of zero.",
    impact="Production keeps the payments of last quarter until it runs again.",
    forward_fix="Leaving these refunds out would let the archive differ from the books.",
    fate=FileFate.SUPERSEDED,
    app_version="wallet-archive 1.3.0",
)
DEVICES = Wish(
    by="bram",
    target=SHARDS[0],
    versions=SEVERAL_DEVICES,
    title="Every message is pushed twice",
    reason="The dispatcher joins devices to people and sends once for each row that it finds.",
    impact="Testers get every message twice on each shard, and nobody can sign the release off.",
    forward_fix="The dispatcher has to learn to send once; that is planned for the release after this one.",
    app_version="notification-service 1.6.2",
    urgency=Urgency.PLANNED,
)
NICKNAMES_WITHDRAWN = Wish(
    by="bram",
    target=WALLET_STAGING,
    versions=NICKNAMES,
    title="Nicknames show the wrong wallet",
    reason="The list of wallets shows nicknames beside the wrong balances.",
    impact="Testers can't sign off the release.",
    forward_fix="The fault may be in the page.",
    app_version="wallet-service 4.12.0",
    urgency=Urgency.PLANNED,
)
NICKNAMES_GO = Wish(
    by="amina",
    target=WALLET_STAGING,
    versions=NICKNAMES,
    title="Nicknames leave the release",
    reason="Nicknames were moved to the profile service, so the column must not reach production.",
    impact="The release can't be cut while staging is ahead of it.",
    forward_fix="A migration that drops the column again would run on production for nothing.",
    app_version="wallet-service 4.12.0",
    urgency=Urgency.PLANNED,
)
PARTITIONS_BROKEN = Wish(
    by="chidi",
    target=LEDGER_PRODUCTION,
    versions=PARTITIONS,
    title="Month-end job misses bookings in the default partition",
    reason="The job reads the partitions by name and never sees what went into the default one.",
    impact="The books of October can't be closed; finance waits for them.",
    forward_fix="The job belongs to a vendor who needs three weeks for a change.",
    app_version="ledger-service 2.8.4",
)
PARTITIONS_FOR_SPACE = Wish(
    by="chidi",
    target=LEDGER_PRODUCTION,
    versions=PARTITIONS,
    title="Partitions cost more space than thought",
    reason="The indexes of the partitions are larger than the one index before.",
    impact="The disk of the ledger fills two weeks earlier.",
    forward_fix="Smaller indexes would do, but nobody has looked into that.",
    app_version="ledger-service 2.8.4",
    urgency=Urgency.PLANNED,
)
PARTITIONS_ON_PREVIEW = Wish(
    by="chidi",
    target=LEDGER_PREVIEW,
    versions=PARTITIONS,
    title="Preview of the vendor needs the ledger without partitions",
    reason="The vendor tests the month-end job against the schema before partitions.",
    impact="Only the preview is affected.",
    forward_fix="The preview exists to show the schema as it was.",
    app_version="ledger-service 2.8.4",
    urgency=Urgency.PLANNED,
)
CONNECTIONS_BACK = Wish(
    by="chidi",
    target=LEDGER_STAGING,
    versions=CONNECTIONS,
    title="Staging runs out of memory with 200 connections",
    reason="Twice as many connections with twice the work_mem are more than the machine has.",
    impact="The server was restarted twice last week.",
    forward_fix="Other values would need a restart as well; the old ones are known to work.",
    app_version="ledger-service 2.8.4",
    urgency=Urgency.PLANNED,
)
