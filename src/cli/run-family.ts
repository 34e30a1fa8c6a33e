import { setTimeout as sleep } from 'node:timers/promises'
import type { StreamName } from '../contract/attempt.ts'
import { ErrandError } from '../contract/errors.ts'
import type { EventOf, RunEvent, StepInstance } from '../contract/events.ts'
import { instanceName } from './render/instance-name.ts'
import { RunDisplay } from './render/run-display.ts'
import type { TextRules } from './render/terminal-text.ts'

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
}

/** A family of runs as a person reads it: each run has a display of its own. */
export class FamilyDisplay {
  readonly #show: FamilyShow
  readonly #rules: TextRules
  readonly #displays = new Map<string, RunDisplay>()

  constructor(show: FamilyShow, rules: TextRules) {
    this.#show = show
    this.#rules = rules
  }

  /** What to write for this event; often nothing. */
  add(event: RunEvent, member: FamilyMember): string {
    const { runId } = member
    const display = this.#displays.get(runId) ?? this.#displayOf(member)
    if (event.type === 'run.finished') this.#displays.delete(runId)
    else this.#displays.set(runId, display)
    return display.add(event)
  }

  #displayOf({ runId, steps, path }: FamilyMember): RunDisplay {
    const { maxBytes, wholeOutput, answerHint } = this.#show
    return new RunDisplay({
      ...this.#rules,
      maxBytes: (step) => maxBytes(step, steps),
      wholeOutput: (attempt, stream) => wholeOutput(attempt, stream, runId),
      answerHint: answerHint && ((step) => answerHint(step, runId)),
      within: path,
    })
  }
}

/** How long until a run is looked for again whose start was told before it was there. */
const LOOK_AGAIN_MS = 50

/**
 * Tells all events of a run and of those it starts, each in the order of its log: those of a child come after its
 * `child.started`, and all that are told before its `child.finished`. `events` are the log of one of them, to its end or as far
 * as it is wanted. Rejects where the log of the first one breaks off; of a child that has none its parent tells what became.
 */
export async function eachEvent(
  runId: string,
  events: (runId: string) => AsyncIterable<RunEvent>,
  tell: (event: RunEvent, member: FamilyMember) => Promise<void>,
): Promise<void> {
  const follow = async (member: FamilyMember): Promise<void> => {
    const instances = new Map<string, readonly StepInstance[]>()
    const children = new Map<string, Child>()
    for await (const event of events(member.runId)) {
      if (event.type === 'child.finished') await children.get(event.run_id)?.ended()
      await tell(event, member)
      if (event.type === 'step.started') instances.set(stepKey(event), event.instances)
      if (event.type !== 'child.started') continue
      const vars = instances.get(stepKey(event))?.[event.instance]?.vars
      const child = {
        runId: event.run_id,
        steps: [...member.steps, event.step],
        path: [...member.path, instanceName(event.step, vars)],
      }
      children.set(event.run_id, new Child(() => follow(child)))
    }
    await Promise.all([...children.values()].map((child) => child.ended()))
  }
  await follow({ runId, steps: [], path: [] })
}

const stepKey = ({ step, phase }: Pick<EventOf<'child.started'>, 'step' | 'phase'>) => `${phase} ${step}`

/** A run that was started by one that is followed. */
class Child {
  /** Its parent tells no more of it: what is not there now never will be. */
  #over = false
  readonly #followed: Promise<void>

  constructor(follow: () => Promise<void>) {
    this.#followed = this.#untilThere(follow).catch(() => {})
  }

  /** Resolves when all of it was told. */
  ended(): Promise<void> {
    this.#over = true
    return this.#followed
  }

  async #untilThere(follow: () => Promise<void>): Promise<void> {
    for (;;) {
      const last = this.#over
      try {
        return await follow()
      } catch (error) {
        if (last || !(error instanceof ErrandError) || error.code !== 'run_not_found') throw error
      }
      await sleep(LOOK_AGAIN_MS)
    }
  }
}
