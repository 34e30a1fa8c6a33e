import * as z from './mini-zod.ts'

/** Status of a run. The last four are final. */
export const RunStatus = z.enum(['queued', 'running', 'success', 'failed', 'canceled', 'interrupted'])
export type RunStatus = z.infer<typeof RunStatus>

/**
 * Status of a step: a run's, and `skipped` (final) and `waiting` (for a machine, an approval, a retry or a child run).
 */
export const StepStatus = z.enum([
  'queued',
  'running',
  'waiting',
  'success',
  'failed',
  'canceled',
  'interrupted',
  'skipped',
])
export type StepStatus = z.infer<typeof StepStatus>

/** The outcome of an attempt. */
export const AttemptOutcome = z.enum(['success', 'failed', 'canceled', 'interrupted'])
export type AttemptOutcome = z.infer<typeof AttemptOutcome>

/** The reason why something did not succeed, in addition to its status. The first cause wins. */
export const Reason = z.enum([
  'exit_code', // the process ended with a code other than 0
  'signal', // the process was killed by a signal that Errand did not send
  'timeout', // timeout_seconds of the step or run has passed
  'oom', // it ran out of memory
  'expect_vars', // a variable named by expect_vars was not exported
  'exports_too_large', // exported variables are larger than the limit
  'unset_variable', // a ${VAR} in a text has no value
  'when_error', // the when expression could not be evaluated
  'invalid_argument', // an argument is wrong once its variables are filled in
  'start_failed', // the process could not be started, or no runner could be made for it
  'action_failed', // an action without a process failed; the message says how
  'lost', // the machine or process that ran it has vanished
  'output_mismatch', // length or SHA-256 of an output differs at the two ends
  'output_failed', // the output could not be written (disk full)
  'output_limit', // the hub stores no more output of a run or a user; the message says which
  'host_unreachable', // the host did not answer
  'host_unauthorized', // there is no token for the host, or the host refuses it
  'host_refused', // the host refused (unknown action, or not a host agent)
  'rejected', // an approval was rejected, or no runner accepted it
  'child_failed', // a sub-workflow did not succeed
  'upstream', // a step this one needs did not succeed
  'condition', // when was false
  'left_out', // the retry asked for the step to be skipped
  'canceled', // somebody canceled it
  'interrupted', // found running after a restart, with nothing left of it
  'quota', // over its limit of disk or processes
  'budget', // a limit of the agent's budget was reached; the message says which
  'model', // the model service failed; the message says how
  'verify', // the agent's work did not pass its verification
  'denied', // an agent reports success, but tool uses were denied; the message says which
  'permission', // the agent's program cannot be forced to ask before it uses a tool
  'source_refused', // an archive, repository or requirement is not acceptable; the message names the entry
  'build_failed', // an image could not be built; the message has the last lines
  'pull_failed', // an image does not exist, or access is refused
  'repo_not_found', // no such repository, or the given credential may not see it
  'repo_auth', // the repository or its forge requires a credential, or refuses the given one
  'repo_archived', // the repository accepts no more changes
  'push_denied', // the credential may read the repository, but not push to it
  'protected_branch', // a rule of the forge forbids pushing to the branch
  'pull_request', // the forge refused the pull request; the message quotes it
  'forge_denied', // the credential lacks a right at the forge; the message says which
  'forge_busy', // the forge's rate limit asks for a longer wait than is allowed
  'forge_away', // the forge did not answer, after all tries
  'service_answer', // a service gave an invalid answer; the message names the field
  'engine_restarted', // a continuing bot: its container engine, or its machine, restarted
  'unhealthy', // a continuing bot: its health check failed too often
  'task_invalid', // the task cannot be done as it is written
  'repo_refused', // the operator does not allow this repository
  'base_missing', // the branch, tag or commit to start from does not exist
  'history_missing', // the server lacks commits that a rebase or merge needs
  'branch_taken', // the branch belongs to others
  'workspace', // the clone to work in could not be made
  'conflict', // a rebase or merge has conflicts; the message lists the files
  'gave_up', // the agent said that it could not do it
  'unsafe_change', // the change contains what may not leave the box; the message says where
  'protected_path', // the change touches files that may not be changed
  'too_large', // a file, or the whole change, exceeds the limit
  'test', // tests failed
  'review', // findings of a reviewer remain
  'push_refused', // the server refused the push; the message quotes it
  'branch_moved', // somebody else has pushed to the branch
  'artifact_upload', // an artifact could not be stored
  'service', // a configured service is unavailable or gives invalid answers
  'disk_full', // no space is left
  'internal', // Errand itself failed; the message says how
])
export type Reason = z.infer<typeof Reason>

export const finalRunStatuses: readonly RunStatus[] = ['success', 'failed', 'canceled', 'interrupted']
const finalStepStatuses: readonly StepStatus[] = ['success', 'failed', 'canceled', 'interrupted', 'skipped']
export const isFinalRun = (status: RunStatus): boolean => finalRunStatuses.includes(status)
export const isFinalStep = (status: StepStatus): boolean => finalStepStatuses.includes(status)

/** The phase of an attempt that has its machine, and waits until another run releases a workspace there. */
export const WAITING_FOR_WORKSPACE = 'waiting_for_workspace'
