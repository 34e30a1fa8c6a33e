import { setTimeout as sleep } from 'node:timers/promises'
import type { StreamName } from '../../contract/attempt.ts'
import type { ErrandError } from '../../contract/errors.ts'
import type { EventOf, RunEvent, StepInstance } from '../../contract/events.ts'
import { firstOf } from '../../platform/races.ts'
import { Semaphore } from '../../platform/sync.ts'
import { RunDisplay } from '../render/run-display.ts'
import { instanceName } from '../render/run-rows.ts'
import { palette, type TextRules } from '../render/terminal-text.ts'

/** Describes a run that is followed, or one that it started at any depth. */
export interface FamilyMember {
  runId: string
  /** Steps that lead to it; empty for the run that is followed. */
  steps: readonly string[]
  /** Names of these steps for a person, with what distinguishes their instances. */
  path: readonly string[]
}

/** Says how the runs of a family are shown; compare `DisplayOptions`, which is for a single run. */
export interface FamilyShow {
  maxBytes(step: string, within: readonly string[]): number
  wholeOutput(attempt: number, stream: StreamName, runId: string): string
  answerHint?(step: string, runId: string): string
  verbose?: boolean
  /** Same as in `DisplayOptions`. */
  brief?: boolean
  allRows(runId: string): string
}

/** Formats a family of runs for a person. Each run has its own display. */
export class FamilyDisplay {
  readonly #show: FamilyShow
  readonly #rules: TextRules
  readonly #displays = new Map<string, RunDisplay>()
  readonly #shown = new Set<string>()

  constructor(show: FamilyShow, rules: TextRules) {
    this.#show = show
    this.#rules = rules
  }

  /** Returns the text to write for this event; often empty. */
  add(event: RunEvent, member: FamilyMember): string {
    const { runId } = member
    const display = this.#displays.get(runId) ?? this.#displayOf(member)
    if (event.type === 'run.finished') {
      this.#displays.delete(runId)
      this.#shown.add(runId)
    } else this.#displays.set(runId, display)
    return display.add(event)
  }

  /** Returns what `RunDisplay.due` returns, for all runs together. */
  due(nowMs: number): string {
    return [...this.#displays.values()].map((each) => each.due(nowMs)).join('')
  }

  /** Returns what `RunDisplay.live` returns, for all runs together. */
  live(nowMs: number): string {
    const all = [...this.#displays.values()].map((each) => each.live(nowMs))
    const text = all.filter((one) => one !== '').join(' · ')
    return text === '' ? '' : palette(this.#rules.color)('dim', `… ${text}`)
  }

  #displayOf({ runId, steps, path }: FamilyMember): RunDisplay {
    const { maxBytes, wholeOutput, answerHint, verbose, brief, allRows } = this.#show
    return new RunDisplay({
      ...this.#rules,
      maxBytes: (step) => maxBytes(step, steps),
      wholeOutput: (attempt, stream) => wholeOutput(attempt, stream, runId),
      answerHint: answerHint && ((step) => answerHint(step, runId)),
      within: path,
      verbose,
      brief,
      allRows: allRows(runId),
      isShown: (id) => this.#shown.has(id),
    })
  }
}

/** Milliseconds until the next look for a run that was announced before it exists. */
const LOOK_AGAIN_MS = 50
/** Milliseconds until the next request to a hub that has refused too many readers. */
const TOO_MANY_MS = 1000
/** Children of a run that are followed at a time on a hub, which limits the streams that a user may read. */
export const CHILDREN_AT_ONCE = 8

interface Family {
  /** Returns the log of one run, to its end or as far as it is wanted. */
  events(runId: string): AsyncIterable<RunEvent>
  report(event: RunEvent, member: FamilyMember): Promise<void>
  /** Children of a run that are followed at a time (default: all). A child that has ended does not wait for others. */
  childrenAtOnce?: number
}

/**
 * Reports all events of a run and its children, each run in the order of its log. The events of a child come between
 * its `child.started` and its `child.finished`. Rejects if the log of the first run breaks off. For a child without a
 * log, the parent's events say what became of it.
 */
export const eachEvent = (runId: string, family: Family): Promise<void> =>
  new Followed(family, { runId, steps: [], path: [] }).follow()

/** Follows one run of a family. */
class Followed {
  readonly #family: Family
  readonly #member: FamilyMember
  readonly #instances = new Map<string, readonly StepInstance[]>()
  readonly #children = new Map<string, Child>()
  readonly #semaphore: Semaphore
  /** `seq` of the event that was reported last. */
  #reported = 0

  constructor(family: Family, member: FamilyMember) {
    this.#family = family
    this.#member = member
    this.#semaphore = new Semaphore(family.childrenAtOnce ?? Number.POSITIVE_INFINITY)
  }

  /** Reports the events of the run and its children. After a rejection it can be called again, and continues. */
  async follow(): Promise<void> {
    for await (const event of this.#family.events(this.#member.runId)) {
      if (event.seq <= this.#reported) continue
      if (event.type === 'child.finished') await this.#children.get(event.run_id)?.ended()
      await this.#family.report(event, this.#member)
      this.#reported = event.seq
      if (event.type === 'step.started') this.#instances.set(stepKey(event), event.instances)
      if (event.type === 'child.started') this.#begin(event)
    }
    await Promise.all([...this.#children.values()].map((child) => child.ended()))
  }

  #begin(event: EventOf<'child.started'>): void {
    const { runId: _, steps, path } = this.#member
    const vars = this.#instances.get(stepKey(event))?.[event.instance]?.vars
    const member = {
      runId: event.run_id,
      steps: [...steps, event.step],
      path: [...path, instanceName(event.step, vars)],
    }
    this.#children.set(event.run_id, new Child(new Followed(this.#family, member), this.#semaphore))
  }
}

const stepKey = ({ step, phase }: Pick<EventOf<'child.started'>, 'step' | 'phase'>) => `${phase} ${step}`

/** Follows a run that was started by a followed one. */
class Child {
  readonly #run: Followed
  readonly #over = Promise.withResolvers<void>()
  /** True once the parent's log has its end: a log that does not exist by then never will. */
  #isOver = false
  readonly #done: Promise<void>

  constructor(run: Followed, semaphore: Semaphore) {
    this.#run = run
    this.#done = this.#follow(semaphore).catch(() => {})
  }

  /** Resolves when all of its events were reported. */
  ended(): Promise<void> {
    this.#isOver = true
    this.#over.resolve()
    return this.#done
  }

  /** Follows when the semaphore allows it, or at once when the parent's log has the child's end. */
  async #follow(semaphore: Semaphore): Promise<void> {
    const free = Promise.withResolvers<void>()
    const done = Promise.withResolvers<void>()
    void semaphore.run(() => {
      free.resolve()
      return done.promise
    })
    await firstOf(free.promise, this.#over.promise)
    try {
      await this.#followRun()
    } finally {
      done.resolve()
    }
  }

  async #followRun(): Promise<void> {
    for (;;) {
      const last = this.#isOver
      try {
        return await this.#run.follow()
      } catch (error) {
        const { code } = error as Partial<ErrandError>
        if (code === 'rate_limited') await sleep(TOO_MANY_MS)
        else if (code === 'run_not_found' && !last) await sleep(LOOK_AGAIN_MS)
        else throw error
      }
    }
  }
}
