import type { RunStatus } from '../../contract/status.ts'
import { isFinalRun, isFinalStep } from '../../contract/status.ts'
import { fillText } from '../workflow-file/template.ts'
import { decideStep, type StepRules } from './decide-step.ts'
import type { Intent } from './intents.ts'
import { failure, type RunNames, runLookup } from './lookup.ts'
import { blocks, mainOutcome, type Outcome, runOutcome } from './outcome.ts'
import type { Plan } from './plan.ts'
import type { RunState } from './state.ts'

export interface Facts {
  plan: Plan
  state: RunState
  run_id: string
  /** Reports whether that moment (milliseconds since 1970) has come. */
  due(atMs: number): boolean
  /** Instances taken over from the run that this one retries. */
  carried?: StepRules['carried']
  /** The remaining requests of the retry, if the run is one. */
  retry?: StepRules['retry']
}

/**
 * Returns what to do next, given all that happened: main steps, then rollbacks in reverse (if the main steps failed),
 * then `finally` steps, then the end. Called again after its answers are folded, it returns what is left.
 */
export function decide(facts: Facts): Intent[] {
  const { plan, state } = facts
  if (isFinalRun(state.status)) return []
  if (state.status === 'queued')
    return state.cancel
      ? [{ type: 'finish_run', status: 'canceled', reason: 'canceled', message: state.cancel.message }]
      : []
  if (state.first_open < state.main.length) return decideMain(facts)
  const main = mainOutcome(plan, state)
  const undo =
    main.status === 'failed' || main.status === 'interrupted' ? decideRollback(facts, main) : undefined
  return undo ?? decideFinally(facts, main) ?? [finish(facts)]
}

function decideMain(facts: Facts): Intent[] {
  const { plan, state, due } = facts
  const intents: Intent[] = []
  const { timeout_seconds: limit, timeout_counts } = plan.workflow
  const { open, before_ms } = state.asked
  const isFree = timeout_counts === 'work'
  if (limit !== undefined && !state.timed_out && state.started_at && !(isFree && open > 0)) {
    const at_ms = Date.parse(state.started_at) + limit * 1000 + (isFree ? before_ms : 0)
    intents.push(due(at_ms) ? { type: 'time_out' } : { type: 'wake', at_ms })
  }
  const stop = state.cancel ? 'canceled' : state.timed_out ? 'timeout' : undefined
  const names: RunNames = { run_id: facts.run_id }
  const { carried, retry } = facts
  const rules: StepRules = { names, due, stop, force: state.cancel?.force ?? false, carried, retry }
  for (const index of stop ? openSteps(state) : state.ready) {
    const planned = plan.main[index]!
    const step = state.main[index]!
    if (step.status === 'queued') {
      if (stop) {
        intents.push({ type: 'skip_step', planned, reason: stop })
        continue
      }
      const blocker = planned.needs.find((need) => blocks(plan, state, need))
      if (blocker !== undefined) {
        const { name, status } = state.main[blocker]!
        intents.push({
          type: 'skip_step',
          planned,
          reason: 'upstream',
          message: `"${name}" ${status === 'failed' ? 'failed' : `was ${status}`}`,
        })
        continue
      }
    }
    intents.push(...decideStep(plan, state, planned, step, rules))
  }
  return intents
}

function openSteps({ main, first_open }: RunState): number[] {
  const open: number[] = []
  for (let index = first_open; index < main.length; index++)
    if (!isFinalStep(main[index]!.status)) open.push(index)
  return open
}

/** Returns the rules for the steps after the main steps: only force stops those. */
function lateRules({ state, due, run_id }: Facts, { status }: Outcome<RunStatus>): StepRules {
  const force = state.cancel?.force ?? false
  return { names: { run_id, status }, due, force, stop: force ? 'canceled' : undefined }
}

/**
 * Runs rollbacks one at a time, that of the step that ended last first; a failing rollback does not stop the others.
 * Returns undefined when all are over.
 */
function decideRollback(facts: Facts, main: Outcome<RunStatus>): Intent[] | undefined {
  const { plan, state } = facts
  const rules = lateRules(facts, main)
  for (const index of [...state.finished_order].reverse()) {
    const planned = plan.rollback[index]
    const step = state.rollback[index]
    if (!planned || !step || isFinalStep(step.status)) continue
    const done = state.main[index]!.instances.filter((instance) => instance.status === 'success')
    if (done.length === 0) continue
    if (step.status === 'queued' && rules.stop) return [{ type: 'skip_step', planned, reason: rules.stop }]
    if (step.status === 'queued')
      return [
        {
          type: 'start_step',
          planned,
          instances: done.map(({ host, vars }) => (vars ? { host, vars } : { host })),
        },
      ]
    return decideStep(plan, state, planned, step, rules)
  }
  return undefined
}

/** Runs `finally` steps one after another, whatever became of the one before. Returns undefined when all are over. */
function decideFinally(facts: Facts, main: Outcome<RunStatus>): Intent[] | undefined {
  const { plan, state } = facts
  const rules = lateRules(facts, main)
  for (const planned of plan.finally) {
    const step = state.finally[planned.index]!
    if (isFinalStep(step.status)) continue
    if (step.status === 'queued' && rules.stop) return [{ type: 'skip_step', planned, reason: rules.stop }]
    return decideStep(plan, state, planned, step, rules)
  }
  return undefined
}

function finish({ plan, state, run_id }: Facts): Intent {
  const outcome = runOutcome(plan, state)
  const lookup = runLookup(plan, state, { run_id, status: outcome.status })
  const outputs: Record<string, string> = {}
  for (const [name, text] of Object.entries(plan.workflow.outputs ?? {}))
    try {
      outputs[name] = fillText(text, lookup)
    } catch (error) {
      const { reason, message } = failure(error)
      if (outcome.status === 'success')
        return { type: 'finish_run', status: 'failed', reason, message: `Output ${name}: ${message}` }
    }
  return { type: 'finish_run', ...outcome, ...(plan.workflow.outputs ? { outputs } : {}) }
}
