import type { ModelFailure } from '../../contract/agent.ts'
import type { EventOf, RunEvent } from '../../contract/events.ts'
import type { Artifact } from '../../contract/tasks/artifact.ts'
import type { Checkpoint, NewTaskEvent, TaskStage, TrySpent } from '../../contract/tasks/task-log.ts'
import { stageAfter, stageOf } from './evolve-task.ts'

/** The end of a try's run, as far as the run shows it. */
export interface TryEnd {
  event: Extract<NewTaskEvent, { type: 'task.try_ended' }>
  /** True when the end says nothing about the task: the machine was lost, or the model's service was unavailable. */
  without_verdict: boolean
  /** True when the agent changed nothing because it saw nothing to do. */
  no_change: boolean
  /** The agent's last words. */
  answer?: string
}

export interface TryNews {
  events: NewTaskEvent[]
  end?: TryEnd
}

/** Failures of a model's service that pass without intervention. */
const passing: readonly ModelFailure[] = [
  'rate_limit',
  'overloaded',
  'server_error',
  'unreachable',
  'broken_stream',
]

/** The step in `finally` that saves the work of a failed try. */
const KEEP_STEP = 'keep'
/** The step at which a person approves changes to protected files. */
const APPROVAL_STEP = 'protected_approval'

const withoutVerdict: readonly string[] = ['lost', 'interrupted', 'host_unreachable', 'output_failed']

/**
 * Reads the log of a try's run, from its first event and in order, and makes events for the task's log. A second
 * reading gives the same events: each names the run event that it was made from.
 */
export class TryReader {
  readonly #runId: string
  #checkpoint: Checkpoint | undefined
  #startedMs: number | undefined
  readonly #steps = new Map<number, string>()
  readonly #packs = new Map<number, Artifact>()
  readonly #usage = new Map<number, Pick<TrySpent, 'turns' | 'tokens' | 'cost_usd'>>()
  /** The resource use of all processes of its steps. */
  #used: Pick<TrySpent, 'peak_memory_bytes' | 'cpu_ms' | 'model'> = {}
  /** Variables that its steps have exported so far. */
  #exports: Record<string, string> = {}
  /** Open questions to a person. */
  readonly #openQuestions = new Map<string, number | undefined>()
  /** Since when a question is open, and the total time of earlier ones. */
  #questionSinceMs = 0
  #questionMs = 0
  #failedStep: string | undefined
  #modelFailure: ModelFailure | undefined
  #tip: string | undefined

  /** `checkpoint` is the one that the try began from. */
  constructor(runId: string, checkpoint?: Checkpoint) {
    this.#runId = runId
    this.#checkpoint = checkpoint
  }

  read(event: RunEvent): TryNews {
    const from = { run_id: this.#runId, seq: event.seq }
    const news = (...events: NewTaskEvent[]): TryNews => ({ events })
    switch (event.type) {
      case 'run.started':
        this.#startedMs = Date.parse(event.time)
        return news()
      case 'attempt.created':
        this.#steps.set(event.attempt, event.step)
        return news()
      case 'artifact.kept':
        if (event.artifact.kind === 'pack') this.#packs.set(event.attempt, event.artifact)
        return news({ type: 'task.artifact', from, artifact: event.artifact })
      case 'test.results':
        return news({ type: 'task.tests', from, tests: event.tests })
      case 'git.pushed': {
        const { sha, branch, forced } = event
        return news({ type: 'task.pushed', from, sha, branch, forced })
      }
      case 'pull_request.changed':
        return news({ type: 'task.pull_request', from, pull_request: event.pull_request })
      case 'agent.update':
        return { events: this.#updated(event, from) }
      case 'approval.requested':
        return { events: this.#ask(`${event.step} ${event.instance}`, event, event.message, from) }
      case 'approval.answered':
        return { events: this.#answered([`${event.step} ${event.instance}`], event.time, from) }
      case 'attempt.finished':
        return { events: this.#attemptOver(event, from) }
      case 'step.finished':
        return { events: this.#stepOver(event, from) }
      case 'run.finished':
        return { events: [], end: this.#end(event, from) }
      default:
        return news()
    }
  }

  #updated({ attempt, update, time }: EventOf<'agent.update'>, from: Source): NewTaskEvent[] {
    if (update.kind === 'usage') {
      const { input_tokens, cached_input_tokens, output_tokens, cost_usd } = update.session
      const tokens = input_tokens + cached_input_tokens + output_tokens
      this.#usage.set(attempt, { ...this.#usage.get(attempt), tokens, cost_usd })
    } else if (update.kind === 'turn_ended') {
      const used = this.#usage.get(attempt)
      this.#usage.set(attempt, { ...used, turns: (used?.turns ?? 0) + 1 })
      this.#modelFailure = update.failure
    } else if (update.kind === 'session') {
      // Not that of a reviewer.
      if (stageOf(this.#steps.get(attempt) ?? '') !== 'review')
        this.#used.model = update.model ?? this.#used.model
    } else if (update.kind === 'permission') {
      return this.#ask(
        update.request_id,
        { attempt, time },
        `the agent asks for permission: ${update.title}`,
        from,
      )
    } else if (update.kind === 'permission_answered') {
      return this.#answered([update.request_id], time, from)
    }
    return []
  }

  #ask(
    id: string,
    { attempt, time }: { attempt?: number; time: string },
    message: string,
    from: Source,
  ): NewTaskEvent[] {
    if (this.#openQuestions.size === 0) this.#questionSinceMs = Date.parse(time)
    this.#openQuestions.set(id, attempt)
    return [{ type: 'task.state', state: 'waiting', from, message }]
  }

  /** Ends the wait for a person when no question is open. */
  #answered(ids: readonly string[], time: string, from: Source): NewTaskEvent[] {
    let had = false
    for (const id of ids) had = this.#openQuestions.delete(id) || had
    if (!had || this.#openQuestions.size > 0) return []
    // The clock may have been set back meanwhile.
    this.#questionMs += Math.max(0, Date.parse(time) - this.#questionSinceMs)
    return [{ type: 'task.state', state: 'running', from }]
  }

  #attemptOver(event: EventOf<'attempt.finished'>, from: Source): NewTaskEvent[] {
    const { attempt, outcome, exports = {}, usage } = event
    const { peak_memory_bytes: peak, cpu_ms } = usage ?? {}
    const { peak_memory_bytes = 0, cpu_ms: before = 0 } = this.#used
    if (peak !== undefined) this.#used.peak_memory_bytes = Math.max(peak_memory_bytes, peak)
    if (cpu_ms !== undefined) this.#used.cpu_ms = before + cpu_ms
    const step = this.#steps.get(attempt) ?? ''
    const next = this.#nextOf(step, exports)
    const open = [...this.#openQuestions].filter(([, of]) => of === attempt).map(([id]) => id)
    const events = this.#answered(open, event.time, from)
    if (outcome !== 'success') return events
    this.#exports = { ...this.#exports, ...exports }
    if (next === undefined) return events
    const { START_SHA: start, BASE_SHA: base, BRANCH: branch, TIP_SHA: tip, ASKED } = this.#exports
    this.#tip = tip
    const pack = this.#packs.get(attempt)
    if (!tip || start === undefined || pack === undefined) return events
    this.#checkpoint = {
      ...{ start, tip, base, branch, artifact_id: pack.artifact_id, run_id: this.#runId },
      ...(ASKED && { asked: ASKED }),
      next,
    }
    return [...events, { type: 'task.checkpoint', from, checkpoint: this.#checkpoint }]
  }

  /**
   * Returns the stage at which a later try continues from the commits of such a step; undefined when the step makes
   * none.
   */
  #nextOf(step: string, { MOVED }: Record<string, string>): TaskStage | undefined {
    // Work that did not pass is saved too, and continued.
    if (step === KEEP_STEP) return 'implement'
    const stage = stageOf(step)
    // A push onto newer commits of others has rebased ours.
    if (stage === 'push' && MOVED !== undefined) return MOVED === 'yes' ? 'test' : 'pull_request'
    return stage === 'carry' ? 'test' : undefined
  }

  #stepOver(event: EventOf<'step.finished'>, from: Source): NewTaskEvent[] {
    const { step, phase, status } = event
    if (phase !== 'main') return []
    if (status === 'failed' || status === 'interrupted') this.#failedStep ??= step
    if (step.startsWith(APPROVAL_STEP) && status === 'success' && this.#checkpoint !== undefined) {
      const { asked: _, ...approved } = this.#checkpoint
      this.#checkpoint = approved
      this.#exports = { ...this.#exports, ASKED: '' }
      return [{ type: 'task.checkpoint', from, checkpoint: this.#checkpoint }]
    }
    const stage = stageOf(step)
    const isStored = stage === 'test' || stage === 'push'
    if (status !== 'success' || !isStored || this.#checkpoint === undefined) return []
    // Nothing has been pushed yet.
    if (stage === 'push' && this.#exports.MOVED === 'yes') return []
    this.#checkpoint = { ...this.#checkpoint, next: stageAfter(stage)! }
    return [{ type: 'task.checkpoint', from, checkpoint: this.#checkpoint }]
  }

  #end(event: EventOf<'run.finished'>, from: Source): TryEnd {
    const { status, reason, message, outputs, time } = event
    const isModelAway =
      reason === 'model' && this.#modelFailure !== undefined && passing.includes(this.#modelFailure)
    const isLost = status === 'interrupted' || (status === 'failed' && withoutVerdict.includes(reason ?? ''))
    return {
      event: {
        ...{ type: 'task.try_ended', from, run_id: this.#runId, status, reason, message },
        step: this.#failedStep,
        spent: this.#spent(time),
      },
      without_verdict: isLost || (status === 'failed' && isModelAway),
      no_change: status === 'success' && this.#tip === '',
      answer: outputs?.ANSWER,
    }
  }

  #spent(end: string): TrySpent {
    const spent: TrySpent = { seconds: 0, ...this.#used }
    if (this.#startedMs !== undefined) {
      const waits = this.#openQuestions.size === 0 ? 0 : Math.max(0, Date.parse(end) - this.#questionSinceMs)
      // The clock may have been set back meanwhile.
      spent.seconds = Math.max(0, (Date.parse(end) - this.#startedMs - this.#questionMs - waits) / 1000)
    }
    for (const used of this.#usage.values())
      for (const key of ['turns', 'tokens', 'cost_usd'] as const)
        if (used[key] !== undefined) spent[key] = (spent[key] ?? 0) + used[key]
    return spent
  }
}

type Source = { run_id: string; seq: number }
