import type { RunRecord, RunSummary } from '../contract/run.ts'

/** A run as lists show it. */
export const runSummary = (record: RunRecord): RunSummary => ({
  run_id: record.run_id,
  blueprint: record.blueprint,
  workflow_name: record.workflow_name,
  status: record.status,
  reason: record.reason,
  message: record.message,
  owner: record.owner,
  repository: record.repository,
  created_at: record.created_at,
  started_at: record.started_at,
  finished_at: record.finished_at,
  waiting: record.waiting,
  parent_run_id: record.parent?.run_id,
  retry_of: record.retry_of,
  rolls_back: record.rolls_back,
  continues: record.continues,
  replaces: record.replaces,
  last_notify_error: record.last_notify_error,
})
