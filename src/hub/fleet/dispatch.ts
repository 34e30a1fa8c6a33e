import { setTimeout as sleep } from 'node:timers/promises'
import type { AttemptSpec } from '../../contract/attempt.ts'
import type { Placement } from '../../engine/ports.ts'
import { Backoff } from '../../platform/backoff.ts'
import { type Assignment, runnerOf } from './assignment.ts'
import { Homes } from './homes.ts'
import { canceled, type Ledger } from './ledger.ts'
import { orderStart } from './orders.ts'
import { type Choice, choose, needKey } from './placement.ts'
import type { Runner } from './roster.ts'

export interface DispatchOptions {
  runners: ReadonlyMap<string, Runner>
  ledger: Ledger
  signal: AbortSignal
}

/** Who gets which attempt: slots, the queue of those that wait, and why they do. */
export class Dispatch {
  readonly homes = new Homes()
  readonly #options: DispatchOptions
  /** In the order in which they came. */
  readonly #queue = new Set<Assignment>()
  /** The sink wants these no more: a cancel or the end of the run takes them away. */
  readonly #parked = new Set<Assignment>()
  /** Placed or told to wait, while their creation is committed. */
  readonly #reserved = new Map<string, { runner: string } | { waiting: string }>()

  constructor(options: DispatchOptions) {
    this.#options = options
  }

  place(spec: AttemptSpec): Placement | { waiting: string } {
    const need = needKey(spec.requires)
    const choice = this.#choose(spec, need)
    if (choice.type === 'runner') {
      this.#reserved.set(spec.attempt_id, { runner: choice.id })
      this.#hold(spec, need, choice.id)
      return { runner: choice.id, epoch: 1 }
    }
    const waiting = choice.type === 'wait' ? choice.why : 'no runner takes it'
    this.#reserved.set(spec.attempt_id, { waiting })
    return { waiting }
  }

  /** Takes a place back that was not used. */
  unplace(attemptId: string): boolean {
    const place = this.#reserved.get(attemptId)
    if (!this.#reserved.delete(attemptId)) return false
    if (place && 'runner' in place) this.#free(attemptId, place.runner)
    return true
  }

  /** After `place`; or, for one taken up again, instead of it. */
  begin(assignment: Assignment, runner: string | undefined): void {
    const { spec } = assignment
    const told = this.#reserved.get(spec.attempt_id)
    this.#reserved.delete(spec.attempt_id)
    if (runner === undefined) {
      this.#enqueue(assignment, told && 'waiting' in told ? told.waiting : '')
      return
    }
    this.hold(assignment, runner)
    this.#handOrQueue(assignment, runner)
  }

  /** It is with that runner. */
  hold(assignment: Assignment, runner: string): void {
    assignment.stage = { type: 'placed', runner }
    this.#hold(assignment.spec, assignment.need, runner)
  }

  /** Its runner does not take it: another one may. */
  again(assignment: Assignment): void {
    const runner = runnerOf(assignment)
    assignment.stage = { type: 'waiting', why: '' }
    if (runner !== undefined) this.#free(assignment.spec.attempt_id, runner)
    this.#enqueue(assignment, '')
  }

  /** It is over: what it held goes to the next. */
  drop(assignment: Assignment): void {
    const runner = runnerOf(assignment)
    this.#queue.delete(assignment)
    this.#parked.delete(assignment)
    if (runner !== undefined) this.#free(assignment.spec.attempt_id, runner)
  }

  /** The run is over. Answers what it left. */
  takeParked(runId: string): Assignment[] {
    const left = [...this.#parked].filter((assignment) => assignment.spec.run_id === runId)
    for (const assignment of left) this.#parked.delete(assignment)
    return left
  }

  /** Runners came, went or changed: places all that can be, and tells the others why they wait. */
  rosterChanged(): void {
    this.#placeWaiting(Number.POSITIVE_INFINITY)
  }

  #free(attemptId: string, runner: string): void {
    if (!this.#options.runners.get(runner)?.held.delete(attemptId) || this.#queue.size === 0) return
    let slots = 0
    for (const { status, slots: all, used } of this.#options.runners.values())
      if (status === 'connected') slots += Math.max(0, all - used)
    this.#placeWaiting(slots)
  }

  #placeWaiting(most: number): void {
    const whys = new Map<string, string>()
    let placed = 0
    for (const assignment of this.#queue) {
      if (placed >= most) return
      const key = `${assignment.need} ${this.homes.of(assignment.spec.run_id, assignment.need)}`
      // Slots only fill here: why one waits holds for all that need and wish the same.
      const known = assignment.rejections.size === 0 ? whys.get(key) : undefined
      if (known !== undefined) this.#tell(assignment, known)
      else if (this.#tryPlace(assignment)) placed++
      else if (assignment.rejections.size === 0 && assignment.stage.type === 'waiting')
        whys.set(key, assignment.stage.why)
    }
  }

  #hold(spec: AttemptSpec, need: string, runner: string): void {
    this.#options.runners.get(runner)?.held.add(spec.attempt_id)
    this.homes.set(spec.run_id, need, runner)
  }

  #choose(spec: AttemptSpec, need: string, rejections?: ReadonlyMap<string, string>): Choice {
    const not = rejections && new Set(rejections.keys())
    return choose(spec.requires, this.#options.runners.values(), {
      home: this.homes.of(spec.run_id, need),
      not,
    })
  }

  #enqueue(assignment: Assignment, told: string): void {
    assignment.stage = { type: 'waiting', why: told }
    this.#queue.add(assignment)
    this.#tryPlace(assignment)
  }

  #tell(assignment: Assignment, why: string): void {
    if (assignment.stage.type === 'waiting' && assignment.stage.why === why) return
    assignment.stage = { type: 'waiting', why }
    assignment.sink.waiting(why)
  }

  /** False: it waits, and was told why. */
  #tryPlace(assignment: Assignment): boolean {
    const { spec, need, rejections } = assignment
    const choice = this.#choose(spec, need, rejections)
    if (choice.type === 'wait') {
      this.#tell(assignment, choice.why)
      return false
    }
    this.#queue.delete(assignment)
    if (choice.type === 'runner') {
      assignment.stage = { type: 'assigning', runner: choice.id }
      this.#hold(spec, need, choice.id)
      void this.#assign(assignment, choice.id)
    } else {
      const whys = [...rejections].map(([runner, why]) => `runner "${runner}" rejected it: ${why}`)
      this.#options.ledger.settle(assignment, {
        type: 'ended',
        outcome: 'failed',
        reason: 'rejected',
        message: whys.join('; '),
      })
    }
    return true
  }

  async #assign(assignment: Assignment, runner: string): Promise<void> {
    const { signal, ledger } = this.#options
    const backoff = new Backoff({ firstMs: 100, maxMs: 10_000 })
    const placement = { runner, epoch: assignment.epoch + 1 }
    let wanted: boolean
    for (;;)
      try {
        wanted = await assignment.sink.assigned(placement)
        break
      } catch (error) {
        ledger.failed(assignment, error)
        await sleep(backoff.next(), undefined, { signal }).catch(() => {})
        if (signal.aborted) return
      }
    if (signal.aborted || assignment.stage.type !== 'assigning') return
    if (wanted) {
      assignment.epoch = placement.epoch
      ledger.nextEpoch(assignment)
    }
    if (assignment.cancel) ledger.settle(assignment, canceled(assignment.cancel.reason))
    else if (wanted) {
      assignment.stage = { type: 'placed', runner }
      this.#handOrQueue(assignment, runner)
    } else this.#park(assignment)
  }

  #park(assignment: Assignment): void {
    this.drop(assignment)
    assignment.stage = { type: 'parked' }
    this.#parked.add(assignment)
  }

  /** The runner may have gone while the placement was committed; then it was never sent, and any other may have it. */
  #handOrQueue(assignment: Assignment, id: string): void {
    const runner = this.#options.runners.get(id)
    if (runner?.status === 'connected') orderStart(assignment, runner, this.#options.ledger)
    else this.again(assignment)
  }
}
