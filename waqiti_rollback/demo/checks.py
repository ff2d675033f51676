"""The checks that decide whether a demo script's work is committed, by service and version."""

from __future__ import annotations

from approvals.models import Check, Stage

_KEYS = """'fk_wallets_user', 'fk_verification_tokens_user', 'fk_fund_reservations_wallet',
    'fk_saga_step_states_saga', 'fk_chart_of_accounts_parent', 'fk_payments_payment_method',
    'fk_payments_requestor_user', 'fk_audit_events_user'"""


def _no_constraint(*names: str) -> str:
    listed = ", ".join(f"'{name}'" for name in names)
    return f"SELECT count(*) FROM pg_constraint WHERE conname IN ({listed})"


def _no_column(table: str, column: str) -> str:
    return (
        "SELECT count(*) FROM pg_attribute\n"
        f" WHERE attrelid = '{table}'::regclass AND attname = '{column}' AND NOT attisdropped"
    )


CHECKS: dict[tuple[str, str], list[Check]] = {
    ("wallet-service", "8"): [
        Check(
            "The index is gone", "SELECT to_regclass('idx_wallet_transactions_wallet_booked') IS NULL", "true"
        )
    ],
    ("wallet-service", "9"): [Check("The column is gone", _no_column("users", "preferred_language"), "0")],
    ("wallet-service", "10"): [
        Check(
            "Both checks are gone",
            _no_constraint("wallet_transactions_amount_check", "payments_amount_check"),
            "0",
        )
    ],
    ("wallet-service", "2025.11.22.001"): [
        Check(
            "All eight foreign keys are there",
            f"SELECT count(*) FROM pg_constraint\n WHERE contype = 'f' AND conname IN (\n    {_KEYS})",
            "8",
        ),
        Check(
            "None of them acts when a row is deleted",
            f"SELECT count(*) FROM pg_constraint\n WHERE confdeltype <> 'a' AND conname IN (\n    {_KEYS})",
            "0",
        ),
        Check(
            "Every event names its person",
            "SELECT attnotnull FROM pg_attribute\n"
            " WHERE attrelid = 'audit_events'::regclass AND attname = 'user_id'",
            "true",
        ),
    ],
    ("wallet-service", "2025.11.25.001"): [
        Check("The limit is gone", _no_constraint("wallets_balance_limit"), "0"),
        Check("Its index is gone", "SELECT to_regclass('idx_wallets_balance') IS NULL", "true"),
        Check(
            "Every wallet is still there",
            "SELECT count(*) = (SELECT count(DISTINCT (user_id, currency)) FROM wallets) FROM wallets",
            "true",
            Stage.AFTER_COMMIT.value,
        ),
    ],
    ("wallet-service", "2025.11.27.001"): [
        Check("The column is gone", _no_column("wallets", "nickname"), "0")
    ],
    ("notification-service", "2"): [
        Check(
            "One device for each person",
            "SELECT count(*) FROM pg_constraint WHERE conname = 'devices_user_key' AND contype = 'u'",
            "1",
        )
    ],
    ("ledger-service", "001"): [
        Check("The table is gone", "SELECT to_regclass('transactions') IS NULL", "true"),
        Check(
            "Its copy has rows",
            "SELECT count(*) > 0\n  FROM rollback_archive.transactions_before_001",
            "true",
        ),
        Check(
            "The function is gone",
            "SELECT to_regprocedure('create_monthly_partitions(text, date, integer)') IS NULL",
            "true",
        ),
    ],
    ("ledger-service", "999"): [
        Check("The views are gone", "SELECT to_regclass('connection_usage_by_database') IS NULL", "true"),
        Check(
            "The server takes 100 connections",
            "SELECT setting FROM pg_settings WHERE name = 'max_connections'",
            "100",
            Stage.AFTER_RESTART.value,
        ),
    ],
}
