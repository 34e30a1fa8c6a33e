import type { Requirements } from '../../contract/attempt.ts'
import type { Assignment } from './assignments.ts'
import {
  goesOn,
  hasCpus,
  hasMemory,
  hasRoom,
  isReserved,
  type Need,
  offers,
  type RunnerKey,
  reservedCpus,
  takes,
  takesSlot,
} from './matching.ts'
import { type Choice, choose, type Wishes } from './placement.ts'
import { type Demand, demandKey, type Size, type WaitingDemand } from './provisioned-groups.ts'
import type { Runner } from './roster.ts'
import { type FairShare, isBefore, type Line, type Turn, turnIn, WaitQueues } from './wait-queues.ts'

export interface QueueOptions {
  runners: ReadonlyMap<RunnerKey, Runner>
  fairShare: FairShare
  homeOf(assignment: Assignment): RunnerKey | undefined
  /** Returns a better reason for waiting than the runners give, or undefined. */
  whyElse(need: Need): string | undefined
  /** Called when there is room for the attempt, after it has left the queue. */
  give(assignment: Assignment, runner: RunnerKey): void
  /** Called when every runner that could take it has rejected it, after it has left the queue. */
  rejected(assignment: Assignment): void
  /** Called when the reason for waiting of some attempts has changed. */
  reported(): void
  signal: AbortSignal
  patience: number
  keepMs: number
  reportIntervalMs: number
}

/** Describes the place in the queue that an attempt would get. */
export interface QueuePosition {
  need: Need
  /** Key of the need. */
  key: string
  home: RunnerKey | undefined
  not: ReadonlySet<RunnerKey>
}

/** Limits how many attempts of a line are updated when only the figures in their reason have changed. */
const MAX_REPORTED_OF_LINE = 100

/**
 * Queues attempts that wait for room. The user with the fewest slots comes first; among equals, the one who got a
 * slot longest ago. Attempts of one user are served in order of arrival. Room is offered as soon as there is some, so
 * an attempt that can be placed never waits.
 * An attempt enters the queue with `enter`. It leaves when a runner has room (`give`), when every runner that could
 * take it has rejected it (`rejected`), or when the caller takes it out (`leave`).
 */
export class Queue {
  readonly #options: QueueOptions
  readonly #waitQueues = new WaitQueues()
  readonly #reservations: Reservations
  /** Runners with room that has not been offered yet. */
  readonly #freed = new Set<Runner>()
  #offering = false
  #reportTimer: NodeJS.Timeout | undefined

  constructor(options: QueueOptions) {
    const { runners, patience, keepMs, signal } = options
    this.#options = options
    this.#reservations = new Reservations({
      runners,
      patience,
      keepMs,
      freed: (runner) => this.freed(runner),
      signal,
    })
    signal.addEventListener('abort', () => clearTimeout(this.#reportTimer))
  }

  get size(): number {
    return this.#waitQueues.waiting
  }

  /** Chooses a runner for an attempt that does not wait yet. A caller that gets a runner must take it. */
  choose({ need, key, home, not }: QueuePosition, turn: Turn): Choice {
    const line = this.#waitQueues.get(lineKey(key, home, not))
    if (line) return line.waiting
    const choice = this.#choice(need, { home, not })
    const runner = choice.type === 'runner' && this.#options.runners.get(choice.key)
    if (runner) this.#passOver(runner, turn, need.requires)
    return choice
  }

  #choice(need: Need, wishes: Wishes): Choice {
    const choice = choose(need, this.#options.runners, wishes)
    if (choice.type !== 'wait') return choice
    const why = this.#options.whyElse(need)
    return why === undefined ? choice : { ...choice, why }
  }

  /**
   * Lists the runs that wait for a provisioned runner of the group, longest wait first, without those that wait for a
   * runner that has their files.
   */
  demands(group: string): WaitingDemand[] {
    const demands = new Map<string, { demand: WaitingDemand; arrival: number }>()
    for (const { demand, users, bound } of this.#waitQueues.forProvisioned(group)) {
      if (demand === undefined || bound) continue
      const key = demandKey(demand)
      const { arrival, waitsSinceMs } = users.first!.waiting.first!
      const other = demands.get(key)
      const first =
        other !== undefined && other.arrival < arrival
          ? other
          : { demand: { ...demand, waitsSinceMs }, arrival }
      // One runner has to be large enough for all steps of the run.
      const size = larger(demand.size, other?.demand.size)
      demands.set(key, { ...first, demand: { ...first.demand, size } })
    }
    return [...demands.values()].sort((a, b) => a.arrival - b.arrival).map(({ demand }) => demand)
  }

  /** Lists the attempts that wait for the run's provisioned runner of the group. */
  waitingFor(group: string, demand: Demand): Assignment[] {
    const key = demandKey(demand)
    return [...this.#waitQueues.forProvisioned(group)]
      .filter(({ demand, bound }) => !bound && demandKey(demand!) === key)
      .flatMap(({ users }) => [...users].flatMap(({ waiting }) => [...waiting]))
  }

  /** Soon updates the reason for waiting of every attempt. */
  reportAgain(): void {
    this.#scheduleReport()
  }

  /** Gives the attempt a runner at once, or queues it and says why it waits. */
  enter(assignment: Assignment): void {
    const { spec, arrival } = assignment
    const turn = { user: this.#options.fairShare.of(spec), arrival }
    const choice = this.choose(this.#positionOf(assignment), turn)
    if (choice.type === 'wait') this.#line(assignment, choice)
    else this.#settle(assignment, choice)
  }

  /** Takes the attempt out of the queue. Returns false if it does not wait. */
  leave(assignment: Assignment): boolean {
    const queue = this.#waitQueues.remove(assignment)
    if (!queue) return false
    this.#options.fairShare.leave(queue.user)
    if (queue.line.users.size === 0) this.#reservations.release(queue.line)
    return true
  }

  /** Queues the waiting attempts of the run again after its home has changed. */
  rehome(runId: string, workspace: string): void {
    // The first attempt that is placed sets the home, and the others are then placed there before the loop reaches
    // them.
    for (const assignment of this.#waitQueues.ofRun(runId, workspace))
      if (this.leave(assignment)) this.enter(assignment)
  }

  /** Offers the room of a runner that may have some now. */
  freed(runner: Runner): void {
    this.#freed.add(runner)
    if (this.#offering) return
    this.#offering = true
    try {
      for (const each of this.#freed) {
        this.#freed.delete(each)
        this.#offer(each)
      }
    } finally {
      this.#offering = false
    }
    this.#scheduleReport()
  }

  /** Looks at all lines of a runner that came, went, or offers something else. */
  rosterChanged(runner: Runner): void {
    if (runner.reservedFor && !takes(runner, runner.reservedFor.need))
      this.#reservations.release(runner.reservedFor)
    for (const line of [...this.#waitQueues.at(runner.key)]) {
      // Placing from one line may have emptied another one of the same run.
      if (line.users.size === 0) continue
      this.#waitQueues.bind(line, this.#isBound(line))
      if (!line.bound) this.#placeAll(line)
      else if (line.reserved && line.reserved !== runner) this.#reservations.release(line)
    }
    this.freed(runner)
  }

  #offer(runner: Runner): void {
    while (this.#options.runners.get(runner.key) === runner && goesOn(runner)) {
      const line = this.#nextFor(runner)
      if (!line) return
      this.#passOver(runner, turnIn(line), line.need.requires)
      this.#give(line, runner.key)
    }
  }

  #nextFor(runner: Runner): Line | undefined {
    const { reservedFor } = runner
    if (reservedFor) return hasRoom(runner, reservedFor.need.requires) ? reservedFor : undefined
    let next: Line | undefined
    if (runner.used < runner.slots || this.#waitQueues.ofBots > 0)
      for (const line of this.#waitQueues.open(runner.key))
        if (
          (!next || isBefore(turnIn(line), turnIn(next))) &&
          hasRoom(runner, line.need.requires) &&
          this.#mayHave(line, runner)
        )
          next = line
    return next
  }

  /**
   * Counts the lines whose turn comes first but that have no room on the runner. No runner is reserved for a bot,
   * because the bots on it run for days.
   */
  #passOver(runner: Runner, turn: Turn, requirements: Requirements): void {
    for (const line of this.#waitQueues.open(runner.key)) {
      const { requires } = line.need
      if (!takesSlot(requires) || hasRoom(runner, requires) || !isInItsWay(runner, requirements, requires))
        continue
      if (isBefore(turnIn(line), turn) && this.#mayHave(line, runner)) this.#reservations.passedOver(line)
    }
  }

  #mayHave(line: Line, runner: Runner): boolean {
    const isHome = line.bound && line.home === runner.key
    const may = isHome ? goesOn(runner) && offers(runner, line.need) : takes(runner, line.need)
    return may && !line.not.has(runner.key)
  }

  #isBound({ home, need, not }: Pick<Line, 'home' | 'need' | 'not'>): boolean {
    const runner = home && this.#options.runners.get(home)
    return runner !== undefined && isReserved(runner, need) && !not.has(runner.key)
  }

  #give(line: Line, runner: RunnerKey): void {
    this.#settle(line.users.first!.waiting.first!, { type: 'runner', key: runner })
  }

  /** Places as many attempts of the line as possible and updates the reason for waiting of the rest. */
  #placeAll(line: Line): void {
    while (line.users.size > 0) {
      const choice = this.#choice(line.need, line)
      if (choice.type === 'wait') {
        this.#reportLine(line, choice)
        return
      }
      if (choice.type === 'runner')
        this.#passOver(this.#options.runners.get(choice.key)!, turnIn(line), line.need.requires)
      this.#settle(line.users.first!.waiting.first!, choice)
    }
  }

  #settle(assignment: Assignment, choice: Exclude<Choice, { type: 'wait' }>): void {
    const line = assignment.queue?.line
    this.leave(assignment)
    if (choice.type === 'runner') this.#options.give(assignment, choice.key)
    else this.#options.rejected(assignment)
    if (line) this.#reservations.release(line)
  }

  #line(assignment: Assignment, waiting: Line['waiting']): void {
    const { need, key, home, not } = this.#positionOf(assignment)
    const name = lineKey(key, home, not)
    const line =
      this.#waitQueues.get(name) ??
      this.#waitQueues.create({
        key: name,
        need,
        home,
        not,
        bound: this.#isBound({ home, need, not }),
        waiting,
      })
    this.#waitQueues.add(line, assignment, this.#options.fairShare.enter(assignment.spec))
    reportWaiting(assignment, line.waiting.why)
  }

  #positionOf(assignment: Assignment): QueuePosition {
    const { need, rejections } = assignment
    const not = new Set(rejections.keys())
    return { ...need, home: this.#options.homeOf(assignment), not }
  }

  /**
   * Schedules one update of all waiting attempts, at most one per `reportIntervalMs`, because runners and slots change
   * often.
   */
  #scheduleReport(): void {
    if (this.#reportTimer || this.#waitQueues.size === 0 || this.#options.signal.aborted) return
    this.#reportTimer = setTimeout(() => {
      this.#reportTimer = undefined
      for (const line of this.#waitQueues.all()) this.#placeAll(line)
    }, this.#options.reportIntervalMs)
  }

  #reportLine(line: Line, waiting: Line['waiting']): void {
    const { cause, why } = line.waiting
    line.waiting = waiting
    if (waiting.why === why) return
    const all = [...line.users].flatMap((queue) => [...queue.waiting])
    const most = waiting.cause === cause ? MAX_REPORTED_OF_LINE : all.length
    for (const assignment of all.slice(0, most)) reportWaiting(assignment, waiting.why)
    this.#options.reported()
  }
}

/** Reports whether the attempt that is placed takes room that the waiting step needs. A bot takes no slot. */
const isInItsWay = (runner: Runner, placed: Requirements, step: Requirements): boolean =>
  takesSlot(placed) ||
  ((placed.memory_bytes ?? 0) > 0 && !hasMemory(runner, step)) ||
  (reservedCpus(runner, placed) > 0 && !hasCpus(runner, step))

const larger = (one: Size, other: Size = one): Size => ({
  cpus: Math.max(one.cpus, other.cpus),
  memoryBytes: Math.max(one.memoryBytes, other.memoryBytes),
})

const lineKey = (need: string, home: RunnerKey | undefined, not: ReadonlySet<RunnerKey>): string =>
  JSON.stringify([need, home, [...not].sort()])

function reportWaiting(assignment: Assignment, why: string): void {
  const reported = assignment.stage.type === 'waiting' ? assignment.stage.why : undefined
  if (reported === why) return
  assignment.stage = { type: 'waiting', why }
  assignment.sink.waiting(why)
}

interface ReservationsOptions {
  runners: ReadonlyMap<RunnerKey, Runner>
  /** Number of times a line is passed over before a runner is reserved for it. */
  patience: number
  /** Longest time that a runner stays reserved, in milliseconds: what runs on it may take days. */
  keepMs: number
  /** Called when the runner is open to all again. */
  freed(runner: Runner): void
  signal: AbortSignal
}

/**
 * Keeps large attempts from waiting forever behind small ones. A line that was passed over too often reserves a
 * runner, which takes nothing else until the line has room there or the time is over.
 */
class Reservations {
  readonly #options: ReservationsOptions
  readonly #timers = new Map<Line, NodeJS.Timeout>()

  constructor(options: ReservationsOptions) {
    this.#options = options
    options.signal.addEventListener('abort', () => {
      for (const timer of this.#timers.values()) clearTimeout(timer)
    })
  }

  /** Counts that the line's turn came and there was no room for it. */
  passedOver(line: Line): void {
    line.passed++
    if (line.passed < this.#options.patience || line.reserved || this.#options.signal.aborted) return
    const runner = this.#nearest(line)
    if (!runner) return
    line.reserved = runner
    runner.reservedFor = line
    this.#timers.set(
      line,
      setTimeout(() => this.release(line), this.#options.keepMs),
    )
  }

  /**
   * Ends the reservation: an attempt of the line was placed, the line is gone, the time is over, or the runner cannot
   * take it.
   */
  release(line: Line): void {
    const { reserved } = line
    line.passed = 0
    line.reserved = undefined
    clearTimeout(this.#timers.get(line))
    this.#timers.delete(line)
    if (!reserved) return
    reserved.reservedFor = undefined
    this.#options.freed(reserved)
  }

  /** Returns the runner that lacks the smallest share of the room; the first among equals. */
  #nearest(line: Line): Runner | undefined {
    let nearest: { runner: Runner; lack: number } | undefined
    for (const runner of this.#options.runners.values()) {
      if (runner.reserved || line.not.has(runner.key) || !takes(runner, line.need)) continue
      if (line.bound && runner.key !== line.home) continue
      if (!hasRoomBesideBots(runner, line)) continue
      const lack = lackOf(runner, line)
      if (nearest === undefined || lack < nearest.lack) nearest = { runner, lack }
    }
    return nearest?.runner
  }
}

/** Reports whether the runner has enough room besides its bots. If not, reserving it gains nothing. */
function hasRoomBesideBots({ forSteps }: Runner, { need }: Line): boolean {
  const { cpus = 0, memory_bytes = 0 } = need.requires
  return forSteps.cpus >= cpus && forSteps.memoryBytes >= memory_bytes
}

/** Returns the share of the runner that must become free. */
function lackOf(runner: Runner, { need }: Line): number {
  const { cpus = 0, memory_bytes = 0 } = need.requires
  const { freeCpus, freeMemoryBytes, slots, used } = runner
  return Math.max(
    (cpus - freeCpus) / runner.cpus,
    (memory_bytes - freeMemoryBytes) / runner.memoryBytes,
    (1 - (slots - used)) / slots,
  )
}
