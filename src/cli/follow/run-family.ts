import { setTimeout as sleep } from 'node:timers/promises'
import type { StreamName } from '../../contract/attempt.ts'
import type { ErrandError } from '../../contract/errors.ts'
import type { EventOf, RunEvent, StepInstance } from '../../contract/events.ts'
import { firstOf } from '../../platform/races.ts'
import { RunDisplay } from '../render/run-display.ts'
import { instanceName } from '../render/run-rows.ts'
import { palette, type TextRules } from '../render/terminal-text.ts'

/** A run that is followed, or one that it has started, at any depth. */
export interface FamilyMember {
  runId: string
  /** The steps that lead to it; none: it is the run that is followed. */
  steps: readonly string[]
  /** Those as a person reads them, with what tells one instance from another. */
  path: readonly string[]
}

/** How the runs of a family are shown: as `DisplayOptions`, for one of them. */
export interface FamilyShow {
  maxBytes(step: string, within: readonly string[]): number
  wholeOutput(attempt: number, stream: StreamName, runId: string): string
  answerHint?(step: string, runId: string): string
  verbose?: boolean
  /** As of `DisplayOptions`. */
  brief?: boolean
  allRows(runId: string): string
}

/** A family of runs as a person reads it: each run has a display of its own. */
export class FamilyDisplay {
  readonly #show: FamilyShow
  readonly #rules: TextRules
  readonly #displays = new Map<string, RunDisplay>()
  readonly #shown = new Set<string>()

  constructor(show: FamilyShow, rules: TextRules) {
    this.#show = show
    this.#rules = rules
  }

  /** The text to write for this event; often empty. */
  add(event: RunEvent, member: FamilyMember): string {
    const { runId } = member
    const display = this.#displays.get(runId) ?? this.#displayOf(member)
    if (event.type === 'run.finished') {
      this.#displays.delete(runId)
      this.#shown.add(runId)
    } else this.#displays.set(runId, display)
    return display.add(event)
  }

  /** As `RunDisplay.due`, of all of them. */
  due(nowMs: number): string {
    return [...this.#displays.values()].map((each) => each.due(nowMs)).join('')
  }

  /** As `RunDisplay.live`, of all of them. */
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

/** How long until a run is looked for again whose start was told before it was there. */
const LOOK_AGAIN_MS = 50
/** How long until a hub is asked again that has said that too much of it is read at once. */
const TOO_MANY_MS = 1000
/** How many children of a run are followed at a time on a hub, which lets a user read so many streams and no more. */
export const CHILDREN_AT_ONCE = 8

interface Family {
  /** The log of one of them, to its end or as far as it is wanted. */
  events(runId: string): AsyncIterable<RunEvent>
  tell(event: RunEvent, member: FamilyMember): Promise<void>
  /** How many children of a run are followed at a time; one that has ended does not wait for the others. Default: all. */
  childrenAtOnce?: number
}

/**
 * Tells all events of a run and of those it starts, each in the order of its log: those of a child come after its
 * `child.started`, and all that are told before its `child.finished`. Rejects where the log of the first one breaks off; of a
 * child that has none its parent tells what became.
 */
export const eachEvent = (runId: string, family: Family): Promise<void> =>
  new Followed(family, { runId, steps: [], path: [] }).follow()

/** One run of a family. */
class Followed {
  readonly #family: Family
  readonly #member: FamilyMember
  readonly #instances = new Map<string, readonly StepInstance[]>()
  readonly #children = new Map<string, Child>()
  readonly #turns: Turns
  /** `seq` of the event told last. */
  #told = 0

  constructor(family: Family, member: FamilyMember) {
    this.#family = family
    this.#member = member
    this.#turns = new Turns(family.childrenAtOnce ?? Number.POSITIVE_INFINITY)
  }

  /** May be called again where it has rejected: it goes on. */
  async follow(): Promise<void> {
    for await (const event of this.#family.events(this.#member.runId)) {
      if (event.seq <= this.#told) continue
      if (event.type === 'child.finished') await this.#children.get(event.run_id)?.ended()
      await this.#family.tell(event, this.#member)
      this.#told = event.seq
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
    this.#children.set(event.run_id, new Child(new Followed(this.#family, member), this.#turns))
  }
}

const stepKey = ({ step, phase }: Pick<EventOf<'child.started'>, 'step' | 'phase'>) => `${phase} ${step}`

/** A run that was started by one that is followed. */
class Child {
  readonly #run: Followed
  readonly #over = Promise.withResolvers<void>()
  /** Its parent tells no more of it: what is not there now never will be. */
  #isOver = false
  readonly #done: Promise<void>

  constructor(run: Followed, turns: Turns) {
    this.#run = run
    this.#done = this.#follow(turns).catch(() => {})
  }

  /** Resolves when all of it was told. */
  ended(): Promise<void> {
    this.#isOver = true
    this.#over.resolve()
    return this.#done
  }

  async #follow(turns: Turns): Promise<void> {
    const turn = turns.take()
    await firstOf(turn, this.#over.promise)
    try {
      await this.#untilTold()
    } finally {
      void turn.then(() => turns.give())
    }
  }

  async #untilTold(): Promise<void> {
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

/** Lets only so many go on at a time. */
class Turns {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(most: number) {
    this.#free = most
  }

  /** Resolves when it is its turn, which it gives back. */
  async take(): Promise<void> {
    if (this.#free > 0) this.#free--
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
  }

  give(): void {
    const next = this.#waiting.shift()
    if (next) next()
    else this.#free++
  }
}
