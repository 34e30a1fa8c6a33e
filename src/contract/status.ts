import * as z from './mini-zod.ts'

/** Status of a run. The last four are final. */
export const RunStatus = z.enum(['queued', 'running', 'success', 'failed', 'canceled', 'interrupted'])
export type RunStatus = z.infer<typeof RunStatus>

/** Status of a step: a run's, and `skipped` (final) and `waiting` (for a machine, an approval, a retry or a child run). */
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

/** How an attempt can end. */
export const AttemptOutcome = z.enum(['success', 'failed', 'canceled', 'interrupted'])
export type AttemptOutcome = z.infer<typeof AttemptOutcome>

/** Why something did not succeed, beside its status. First cause wins. */
export const Reason = z.enum([
  'exit_code', // the process ended with a code other than 0
  'signal', // the process was killed by a signal that Errand did not send
  'timeout', // timeout_seconds of the step or run has passed
  'oom', // out of memory
  'expect_vars', // a variable named by expect_vars was not exported
  'exports_too_large', // exported variables are larger than the limit
  'unset_variable', // a ${VAR} in a text has no value
  'when_error', // the when expression could not be evaluated
  'invalid_argument', // an argument is wrong once its variables are filled in
  'start_failed', // the process could not be started, or no runner could be made for it
  'action_failed', // an action that is no process failed; the message says how
  'lost', // what carried it out has vanished
  'output_mismatch', // length or SHA-256 of an output differs at the two ends
  'output_failed', // the output could not be written (disk full)
  'output_limit', // there is more output than the hub keeps of a run or a user; the message says which
  'host_unreachable', // the host did not answer
  'host_unauthorized', // there is no token for the host, or it does not take it
  'host_refused', // the host answered no (unknown action, no host agent at all)
  'rejected', // an approval was answered no, or no runner took it
  'child_failed', // a sub-workflow did not succeed
  'upstream', // a step this one needs did not succeed
  'condition', // when was false
  'left_out', // who retried the run asked for the step to be skipped
  'canceled', // someone canceled
  'interrupted', // found running after a restart with nothing left of it
  'quota', // over its limit of disk or processes
  'budget', // a limit of the agent's budget was reached; the message says which
  'model', // the model service failed; the message says how
  'verify', // the agent's work did not pass what it is verified by
  'denied', // an agent says that it is done, and uses of tools were denied; the message says which
  'permission', // the agent's program cannot be made to ask before it uses a tool
  'source_refused', // an archive, repository or requirement is not acceptable; the message names the entry
  'build_failed', // an image could not be built; the message has the last lines
  'pull_failed', // an image is not there, or may not be had
  'repo_not_found', // no such repository, or the credential given may not see it
  'repo_auth', // the repository or its forge asks for a credential, or does not take the one given
  'repo_archived', // the repository takes no change any more
  'push_denied', // the credential may read the repository, and not push to it
  'protected_branch', // the branch takes no push, by a rule of its forge
  'pull_request', // the forge took no pull request; the message has its words
  'forge_denied', // the credential may not do what was asked of the forge; the message says what
  'forge_busy', // the forge asks for a longer wait than is allowed, by its limit of requests
  'forge_away', // the forge did not answer, after all tries
  'service_answer', // a service answered what is none of its answers; the message names the field
  'engine_restarted', // of a bot that goes on: its container engine, or its machine, was started anew
  'unhealthy', // of a bot that goes on: its health check failed too often
  'task_invalid', // the task cannot be carried out as it is written
  'repo_refused', // the operator does not let this repository be used
  'base_missing', // the branch, tag or commit that work begins at is not there
  'history_missing', // commits that a rebase or merge goes back to are not at the server
  'branch_taken', // the branch belongs to others
  'workspace', // the clone to work in could not be made
  'conflict', // a rebase or merge has conflicts; the message lists the files
  'gave_up', // the agent said that it cannot
  'unsafe_change', // the change holds what may not leave the box; the message says where
  'protected_path', // the change touches files that may not be changed
  'too_large', // a file, or the whole change, is over the limit
  'test', // tests failed
  'review', // a reviewer's findings are left
  'push_refused', // the server did not take the push; its words are in the message
  'branch_moved', // somebody else has pushed to the branch
  'artifact_upload', // what was to be kept could not be
  'service', // a service that was pointed at is away or answers garbage
  'disk_full', // no space is left
  'internal', // Errand itself went wrong; the message says how
])
export type Reason = z.infer<typeof Reason>

export const finalRunStatuses: readonly RunStatus[] = ['success', 'failed', 'canceled', 'interrupted']
const finalStepStatuses: readonly StepStatus[] = ['success', 'failed', 'canceled', 'interrupted', 'skipped']
export const isFinalRun = (status: RunStatus): boolean => finalRunStatuses.includes(status)
export const isFinalStep = (status: StepStatus): boolean => finalStepStatuses.includes(status)

/** The phase of an attempt that is at its machine, and waits until another run leaves a workspace there. */
export const WAITING_FOR_WORKSPACE = 'waiting_for_workspace'
