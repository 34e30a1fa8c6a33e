import { messageOf } from '../contract/errors.ts'
import type {
  Playbook,
  PlaybookPhase,
  PlaybookStep,
  PlaybookStepStatus,
  PlaybookStepSummary,
  PlaybookSummary,
} from '../contract/tasks/playbook.ts'
import { TimeGuard } from '../platform/untrusted-input.ts'
import { parseCondition } from './condition.ts'
import { type ConditionFacts, conditionHolds } from './condition-facts.ts'

/** The end of one try of a command. */
export type TryEnd = { duration_ms: number } & (
  | { ended: 'exit'; exit_code: number }
  | { ended: 'signal'; signal: string }
  | { ended: 'timeout' }
  /** The command could not be started; the sentence says why. */
  | { ended: 'not_started'; told: string }
  /** Somebody ended it from outside; nothing follows. */
  | { ended: 'canceled' }
)

/**
 * The progress of a phase of a playbook. It is a plain value that can be stored and resumed. `begin` makes it, `next`
 * says what to do, and `record` adds the end of each try.
 */
export interface Progress {
  playbook: string
  phase: PlaybookPhase
  steps: { step: PlaybookStep; holds: boolean; told?: string; tries: TryEnd[] }[]
}

export type Next =
  /** `wait_ms` passes first; `try` counts from 1. */
  | { do: 'run'; index: number; step: PlaybookStep; try: number; wait_ms: number }
  | { do: 'end'; summary: PlaybookSummary }

/** Longest wait between two tries. */
const MAX_WAIT_MS = 300_000

/** Returns the steps of one phase, before any has run. Evaluates their conditions, only here. */
export function begin(playbook: Playbook, phase: PlaybookPhase, facts: ConditionFacts): Progress {
  const steps = playbook.steps.filter((step) => step.phase === phase)
  const judged = judge(steps, facts)
  return {
    playbook: playbook.name,
    phase,
    steps: steps.map((step, index) => ({ step, ...judged[index]!, tries: [] })),
  }
}

type Judged = Pick<Progress['steps'][number], 'holds' | 'told'>

/** Evaluates all conditions within the time of one guard. */
function judge(steps: readonly PlaybookStep[], facts: ConditionFacts): Judged[] {
  const judged: Judged[] = []
  try {
    new TimeGuard().run(() => {
      for (const { condition } of steps) judged.push(judgeOne(condition, facts))
    })
  } catch (error) {
    // They parsed before, but a glob may still take too long. A skipped test must not look like one that passed, so it
    // runs.
    const note = `its condition cannot be evaluated, so it runs: ${messageOf(error)}`
    for (const { condition } of steps.slice(judged.length))
      judged.push(typeof condition === 'string' ? { holds: true, told: note } : judgeOne(condition, facts))
  }
  return judged
}

function judgeOne(condition: PlaybookStep['condition'], facts: ConditionFacts): Judged {
  if (condition === undefined || condition === true) return { holds: true }
  if (condition === false) return { holds: false, told: 'its condition is false' }
  const holds = conditionHolds(parseCondition(condition), facts)
  return holds ? { holds } : { holds, told: `its condition is false: ${condition}` }
}

/** Returns the progress with the end of the try that `next` asked for. */
export function record(progress: Progress, index: number, end: TryEnd): Progress {
  const steps = progress.steps.map((one, at) => (at === index ? { ...one, tries: [...one.tries, end] } : one))
  return { ...progress, steps }
}

/** Returns what to do next: always the same for the same progress. */
export function next(progress: Progress): Next {
  for (const [index, { step, holds, tries }] of progress.steps.entries()) {
    if (!holds) continue
    const last = tries.at(-1)
    if (last === undefined) return { do: 'run', index, step, try: 1, wait_ms: 0 }
    if (last.ended === 'canceled') break
    if (passed(last)) continue
    if (tries.length <= step.retry_count) {
      const wait_ms = Math.min(MAX_WAIT_MS, 1000 * 2 ** (tries.length - 1))
      return { do: 'run', index, step, try: tries.length + 1, wait_ms }
    }
    if (step.fail_fast && !step.allow_failure) break
  }
  return { do: 'end', summary: summaryOf(progress) }
}

const passed = (end: TryEnd): boolean => end.ended === 'exit' && end.exit_code === 0

function summaryOf({ playbook, phase, steps }: Progress): PlaybookSummary {
  const summaries = steps.map(stepSummary)
  const of = (...statuses: PlaybookStepStatus[]) =>
    summaries.filter(({ status }) => statuses.includes(status))
  const outcome =
    of('canceled').length > 0 ? 'canceled' : of('failed', 'timeout').length > 0 ? 'failed' : 'success'
  return { playbook, phase, outcome, message: messageFor(playbook, phase, outcome, of), steps: summaries }
}

type Of = (...statuses: PlaybookStepStatus[]) => PlaybookStepSummary[]

function messageFor(
  playbook: string,
  phase: PlaybookPhase,
  outcome: PlaybookSummary['outcome'],
  of: Of,
): string {
  const ran = of('passed', 'flaky', 'failed', 'timeout', 'allowed', 'canceled').length
  const named = (all: PlaybookStepSummary[]) => all.map(({ name }) => `"${name}"`).join(', ')
  const which = `Playbook "${playbook}"`
  const kind = phase === 'setup' ? 'setup' : 'test'
  if (outcome === 'canceled') return `${which} was canceled in ${named(of('canceled'))}.`
  if (outcome === 'failed') {
    const [left, failed] = [of('not_run'), of('failed', 'timeout')]
    const further = left.length === 0 ? '' : `; not run after that: ${named(left)}`
    return `${which} failed: ${failed.map(({ name, told }) => `"${name}" (${told})`).join(', ')}${further}.`
  }
  if (ran === 0) {
    const skipped = of('skipped').length
    // Never "passed", since nothing was tested.
    const why = skipped === 0 ? `it has no ${kind} steps` : 'the conditions of all its steps are false'
    return `${which} ran nothing for ${kind}: ${why}.`
  }
  const [allowed, flaky] = [of('allowed'), of('flaky')]
  const notes = [
    flaky.length === 0 ? '' : `; flaky: ${named(flaky)}`,
    allowed.length === 0 ? '' : `; allowed to fail and failed: ${named(allowed)}`,
  ]
  const count = of('passed', 'flaky').length
  return `${which}: ${count} of ${ran} ${kind} ${ran === 1 ? 'step' : 'steps'} passed${notes.join('')}.`
}

function stepSummary({ step, holds, told, tries }: Progress['steps'][number]): PlaybookStepSummary {
  const last = tries.at(-1)
  const status = statusOf(step, holds, tries)
  const words = [told, last && wordsOf(step, last, tries.length)].filter((each) => each !== undefined)
  return {
    name: step.name,
    command: step.command,
    status,
    tries: tries.length,
    ...(last?.ended === 'exit' ? { exit_code: last.exit_code } : {}),
    duration_ms: tries.reduce((sum, { duration_ms }) => sum + duration_ms, 0),
    ...(words.length === 0 ? {} : { told: words.join('; ') }),
  }
}

function statusOf(step: PlaybookStep, holds: boolean, tries: readonly TryEnd[]): PlaybookStepStatus {
  const last = tries.at(-1)
  if (last === undefined) return holds ? 'not_run' : 'skipped'
  if (last.ended === 'canceled') return 'canceled'
  if (passed(last)) return tries.length > 1 ? 'flaky' : 'passed'
  if (step.allow_failure) return 'allowed'
  return last.ended === 'timeout' ? 'timeout' : 'failed'
}

/** Returns a text such as `exit code 1, 3 tries`; undefined when the step passed at once. */
function wordsOf(step: PlaybookStep, last: TryEnd, tries: number): string | undefined {
  if (passed(last)) return tries > 1 ? `passed on try ${tries}` : undefined
  const how = {
    exit: () => `exit code ${(last as { exit_code: number }).exit_code}`,
    signal: () => `ended by ${(last as { signal: string }).signal}`,
    timeout: () => `not finished within ${step.timeout_seconds} s`,
    not_started: () => (last as { told: string }).told,
    canceled: () => 'canceled',
  }[last.ended]()
  return tries > 1 ? `${how}, ${tries} tries` : how
}
