DROP TRIGGER rollback_run ON approvals_rollbackrequest;
DROP TRIGGER execution_run ON approvals_execution;
DROP FUNCTION waqiti_rollback_run, waqiti_execution_run CASCADE;
DROP FUNCTION waqiti_run_write, waqiti_tell_run CASCADE;
