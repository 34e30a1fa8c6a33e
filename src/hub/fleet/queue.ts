import type { Requirements } from '../../contract/attempt.ts'
import type { Assignment } from './assignments.ts'
import { type Demand, demandKey, type Size, type WaitingDemand } from './made-groups.ts'
import {
  goesOn,
  hasCpus,
  hasMemory,
  hasRoom,
  keeps,
  keptCpus,
  type Need,
  offers,
  type RunnerKey,
  takes,
  takesSlot,
} from './matching.ts'
import { type Choice, choose, type Wishes } from './placement.ts'
import type { Runner } from './roster.ts'
import { type FairShare, isBefore, type Line, type Turn, turnIn, WaitQueues } from './wait-queues.ts'

export interface QueueOptions {
  runners: ReadonlyMap<RunnerKey, Runner>
  fairShare: FairShare
  homeOf(assignment: Assignment): RunnerKey | undefined
  /** Why one waits, where more is known than what the runners tell. */
  whyElse(need: Need): string | undefined
  /** There is room for it: it has left the queue. */
  give(assignment: Assignment, runner: RunnerKey): void
  /** All that could take it have rejected it: it has left the queue. */
  rejected(assignment: Assignment): void
  /** Why some wait has changed. */
  told(): void
  signal: AbortSignal
  patience: number
  keepMs: number
  tellEveryMs: number
}

/** Where an attempt would have to stand, and what for. */
export interface Stand {
  need: Need
  /** Of the need. */
  key: string
  home: RunnerKey | undefined
  not: ReadonlySet<RunnerKey>
}

/** Of a line, so many are told when only the figures of why they wait have changed. */
const TOLD_OF_LINE = 100

/**
 * Attempts that wait for room. Whoever has the fewest slots comes first, and among equals who was given one longer
 * ago; of one user, what came first. Room is offered when there is some, so what may be placed never waits.
 */
export class Queue {
  readonly #options: QueueOptions
  readonly #waitQueues = new WaitQueues()
  readonly #keeps: Reservations
  /** With room that has not been offered yet. */
  readonly #freed = new Set<Runner>()
  #offering = false
  #teller: NodeJS.Timeout | undefined

  constructor(options: QueueOptions) {
    const { runners, patience, keepMs, signal } = options
    this.#options = options
    this.#keeps = new Reservations({
      runners,
      patience,
      keepMs,
      freed: (runner) => this.freed(runner),
      signal,
    })
    signal.addEventListener('abort', () => clearTimeout(this.#teller))
  }

  get size(): number {
    return this.#waitQueues.waiting
  }

  /** For one that does not wait yet; whoever is told a runner takes it. */
  choose({ need, key, home, not }: Stand, turn: Turn): Choice {
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

  /** The runs that wait for a runner of the group to be made, the longest first; none that waits for one that has its files. */
  demands(group: string): WaitingDemand[] {
    const demands = new Map<string, { demand: WaitingDemand; arrival: number }>()
    for (const { demand, users, bound } of this.#waitQueues.forMade(group)) {
      if (demand === undefined || bound) continue
      const key = demandKey(demand)
      const { arrival, waitsSinceMs } = users.first!.waiting.first!
      const other = demands.get(key)
      const first =
        other !== undefined && other.arrival < arrival
          ? other
          : { demand: { ...demand, waitsSinceMs }, arrival }
      // One runner has to do for all of its steps.
      const size = larger(demand.size, other?.demand.size)
      demands.set(key, { ...first, demand: { ...first.demand, size } })
    }
    return [...demands.values()].sort((a, b) => a.arrival - b.arrival).map(({ demand }) => demand)
  }

  /** Those that wait for the run's runner of the group. */
  waitingFor(group: string, demand: Demand): Assignment[] {
    const key = demandKey(demand)
    return [...this.#waitQueues.forMade(group)]
      .filter(({ demand, bound }) => !bound && demandKey(demand!) === key)
      .flatMap(({ users }) => [...users].flatMap(({ waiting }) => [...waiting]))
  }

  /** Those that wait are told again why, soon. */
  retell(): void {
    this.#tellSoon()
  }

  /** Gives the attempt a runner at once, or has it wait and tells it why. */
  enter(assignment: Assignment): void {
    const { spec, arrival } = assignment
    const turn = { user: this.#options.fairShare.of(spec), arrival }
    const choice = this.choose(this.#standOf(assignment), turn)
    if (choice.type === 'wait') this.#line(assignment, choice)
    else this.#settle(assignment, choice)
  }

  /** False: it does not wait. */
  leave(assignment: Assignment): boolean {
    const queue = this.#waitQueues.remove(assignment)
    if (!queue) return false
    this.#options.fairShare.leave(queue.user)
    if (queue.line.users.size === 0) this.#keeps.release(queue.line)
    return true
  }

  /** The run has another home: what waits of it waits for that one. */
  rehome(runId: string, workspace: string): void {
    // One that is placed makes a home itself, and the others are placed there before it is their turn here.
    for (const assignment of this.#waitQueues.ofRun(runId, workspace))
      if (this.leave(assignment)) this.enter(assignment)
  }

  /** Looks at a runner that may have room now. */
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
    this.#tellSoon()
  }

  /** Looks at all lines of a runner that came, went, or offers something else. */
  rosterChanged(runner: Runner): void {
    if (runner.keptFor && !takes(runner, runner.keptFor.need)) this.#keeps.release(runner.keptFor)
    for (const line of [...this.#waitQueues.at(runner.key)]) {
      // Placing from one line may have emptied another of the same run.
      if (line.users.size === 0) continue
      this.#waitQueues.bind(line, this.#isBound(line))
      if (!line.bound) this.#placeAll(line)
      else if (line.kept && line.kept !== runner) this.#keeps.release(line)
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
    const { keptFor } = runner
    if (keptFor) return hasRoom(runner, keptFor.need.requires) ? keptFor : undefined
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

  /** Lines whose turn is before that one's, and that have no room there. No bot has a runner kept for it: others go on for days. */
  #passOver(runner: Runner, turn: Turn, given: Requirements): void {
    for (const line of this.#waitQueues.open(runner.key)) {
      const { requires } = line.need
      if (!takesSlot(requires) || hasRoom(runner, requires) || !isInItsWay(runner, given, requires)) continue
      if (isBefore(turnIn(line), turn) && this.#mayHave(line, runner)) this.#keeps.passedOver(line)
    }
  }

  #mayHave(line: Line, runner: Runner): boolean {
    const isHome = line.bound && line.home === runner.key
    const may = isHome ? goesOn(runner) && offers(runner, line.need) : takes(runner, line.need)
    return may && !line.not.has(runner.key)
  }

  #isBound({ home, need, not }: Pick<Line, 'home' | 'need' | 'not'>): boolean {
    const runner = home && this.#options.runners.get(home)
    return runner !== undefined && keeps(runner, need) && !not.has(runner.key)
  }

  #give(line: Line, runner: RunnerKey): void {
    this.#settle(line.users.first!.waiting.first!, { type: 'runner', key: runner })
  }

  /** As many as can be; the others know why they wait. */
  #placeAll(line: Line): void {
    while (line.users.size > 0) {
      const choice = this.#choice(line.need, line)
      if (choice.type === 'wait') {
        this.#tellLine(line, choice)
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
    if (line) this.#keeps.release(line)
  }

  #line(assignment: Assignment, waiting: Line['waiting']): void {
    const { need, key, home, not } = this.#standOf(assignment)
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
    tell(assignment, line.waiting.why)
  }

  #standOf(assignment: Assignment): Stand {
    const { need, rejections } = assignment
    const not = new Set(rejections.keys())
    return { ...need, home: this.#options.homeOf(assignment), not }
  }

  /** Runners come and go, and slots fill: those that wait are told at most so often. */
  #tellSoon(): void {
    if (this.#teller || this.#waitQueues.size === 0 || this.#options.signal.aborted) return
    this.#teller = setTimeout(() => {
      this.#teller = undefined
      for (const line of this.#waitQueues.all()) this.#placeAll(line)
    }, this.#options.tellEveryMs)
  }

  #tellLine(line: Line, waiting: Line['waiting']): void {
    const { cause, why } = line.waiting
    line.waiting = waiting
    if (waiting.why === why) return
    const all = [...line.users].flatMap((queue) => [...queue.waiting])
    const most = waiting.cause === cause ? TOLD_OF_LINE : all.length
    for (const assignment of all.slice(0, most)) tell(assignment, waiting.why)
    this.#options.told()
  }
}

/** Whether a step that has no room there is passed over by that one: a bot takes no slot. */
const isInItsWay = (runner: Runner, given: Requirements, step: Requirements): boolean =>
  takesSlot(given) ||
  ((given.memory_bytes ?? 0) > 0 && !hasMemory(runner, step)) ||
  (keptCpus(runner, given) > 0 && !hasCpus(runner, step))

const larger = (one: Size, other: Size = one): Size => ({
  cpus: Math.max(one.cpus, other.cpus),
  memoryBytes: Math.max(one.memoryBytes, other.memoryBytes),
})

const lineKey = (need: string, home: RunnerKey | undefined, not: ReadonlySet<RunnerKey>): string =>
  JSON.stringify([need, home, [...not].sort()])

function tell(assignment: Assignment, why: string): void {
  const told = assignment.stage.type === 'waiting' ? assignment.stage.why : undefined
  if (told === why) return
  assignment.stage = { type: 'waiting', why }
  assignment.sink.waiting(why)
}

interface ReservationsOptions {
  runners: ReadonlyMap<RunnerKey, Runner>
  /** How often a line is passed over before a runner is kept for it. */
  patience: number
  /** The longest that a runner is kept: what is on it may go on for days. */
  keepMs: number
  /** The runner is open to all again. */
  freed(runner: Runner): void
  signal: AbortSignal
}

/**
 * Keeps what is large from waiting for ever behind what is small: a line that was passed over too often gets a runner
 * on which nothing else is put, until it has room there or the time is over.
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

  /** Counts that it was the line's turn, and there was no room for it. */
  passedOver(line: Line): void {
    line.passed++
    if (line.passed < this.#options.patience || line.kept || this.#options.signal.aborted) return
    const runner = this.#nearest(line)
    if (!runner) return
    line.kept = runner
    runner.keptFor = line
    this.#timers.set(
      line,
      setTimeout(() => this.release(line), this.#options.keepMs),
    )
  }

  /** One of the line was placed, or it is there no more, or the runner cannot take it. */
  release(line: Line): void {
    const { kept } = line
    line.passed = 0
    line.kept = undefined
    clearTimeout(this.#timers.get(line))
    this.#timers.delete(line)
    if (!kept) return
    kept.keptFor = undefined
    this.#options.freed(kept)
  }

  /** The one that lacks least of the room, the first among equals. */
  #nearest(line: Line): Runner | undefined {
    let nearest: { runner: Runner; lack: number } | undefined
    for (const runner of this.#options.runners.values()) {
      if (runner.kept || line.not.has(runner.key) || !takes(runner, line.need)) continue
      if (line.bound && runner.key !== line.home) continue
      if (!hasRoomBesideBots(runner, line)) continue
      const lack = lackOf(runner, line)
      if (nearest === undefined || lack < nearest.lack) nearest = { runner, lack }
    }
    return nearest?.runner
  }
}

/** Where its bots leave too little, nothing is gained by keeping others from it. */
function hasRoomBesideBots({ forSteps }: Runner, { need }: Line): boolean {
  const { cpus = 0, memory_bytes = 0 } = need.requires
  return forSteps.cpus >= cpus && forSteps.memoryBytes >= memory_bytes
}

/** The share of the runner that must become free. */
function lackOf(runner: Runner, { need }: Line): number {
  const { cpus = 0, memory_bytes = 0 } = need.requires
  const { freeCpus, freeMemoryBytes, slots, used } = runner
  return Math.max(
    (cpus - freeCpus) / runner.cpus,
    (memory_bytes - freeMemoryBytes) / runner.memoryBytes,
    (1 - (slots - used)) / slots,
  )
}
