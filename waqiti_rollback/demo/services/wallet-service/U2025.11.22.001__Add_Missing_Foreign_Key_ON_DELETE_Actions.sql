-- Takes the eight ON DELETE actions away again. Fails, and with that changes nothing, if a person was deleted
-- since: an event in audit_events then has no user_id, and the column can't become NOT NULL.
BEGIN;

ALTER TABLE wallets DROP CONSTRAINT fk_wallets_user;
ALTER TABLE wallets ADD CONSTRAINT fk_wallets_user
    FOREIGN KEY (user_id) REFERENCES users (id);

ALTER TABLE verification_tokens DROP CONSTRAINT fk_verification_tokens_user;
ALTER TABLE verification_tokens ADD CONSTRAINT fk_verification_tokens_user
    FOREIGN KEY (user_id) REFERENCES users (id);

ALTER TABLE fund_reservations DROP CONSTRAINT fk_fund_reservations_wallet;
ALTER TABLE fund_reservations ADD CONSTRAINT fk_fund_reservations_wallet
    FOREIGN KEY (wallet_id) REFERENCES wallets (id);

ALTER TABLE saga_step_states DROP CONSTRAINT fk_saga_step_states_saga;
ALTER TABLE saga_step_states ADD CONSTRAINT fk_saga_step_states_saga
    FOREIGN KEY (saga_id) REFERENCES saga_states (saga_id);

ALTER TABLE chart_of_accounts DROP CONSTRAINT fk_chart_of_accounts_parent;
ALTER TABLE chart_of_accounts ADD CONSTRAINT fk_chart_of_accounts_parent
    FOREIGN KEY (parent_account_id) REFERENCES chart_of_accounts (id);

ALTER TABLE payments DROP CONSTRAINT fk_payments_payment_method;
ALTER TABLE payments ADD CONSTRAINT fk_payments_payment_method
    FOREIGN KEY (payment_method_id) REFERENCES payment_methods (id);

ALTER TABLE payments DROP CONSTRAINT fk_payments_requestor_user;
ALTER TABLE payments ADD CONSTRAINT fk_payments_requestor_user
    FOREIGN KEY (requestor_id) REFERENCES users (id);

ALTER TABLE audit_events DROP CONSTRAINT fk_audit_events_user;
ALTER TABLE audit_events ALTER COLUMN user_id SET NOT NULL;
ALTER TABLE audit_events ADD CONSTRAINT fk_audit_events_user
    FOREIGN KEY (user_id) REFERENCES users (id);

DELETE FROM flyway_schema_history WHERE version = '2025.11.22.001';

COMMIT;
