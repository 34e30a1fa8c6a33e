import { laterReports } from '../../contract/attempt.ts'
import { splitAttemptId } from '../../contract/ids.ts'
import { type AttemptAnswer, commonProtocol, type Hello, PROTOCOL_VERSION } from '../../contract/protocol.ts'
import type { Log } from '../../platform/log.ts'
import type { Assignment, Assignments } from './assignments.ts'
import type { Dispatch } from './dispatch.ts'
import { DEFAULT_GROUP, needOf, type RunnerKey, runnerKey } from './matching.ts'
import { type KnownRunners, Runner, type RunnerRules, SHOWN_FOR_MS } from './roster.ts'
import { commandCancel, commandInputs, sentTo } from './runner-commands.ts'
import type { RunnerLink } from './runner-link.ts'

export interface RunnerHandshakeOptions {
  runners: Map<RunnerKey, Runner>
  known: KnownRunners
  assignments: Assignments
  dispatch: Dispatch
  isDurable(action: string): boolean
  rules: RunnerRules
  heartbeatMs: number
  lostAfterMs: number
  graceMs: number
  log: Log
}

/** Number of heartbeats between checks for unanswered `start`s. One is sent again after one to two such periods. */
const START_HEARTBEATS = 2

/** Milliseconds that an older link has to show that its runner is alive. */
const PROBE_MS = 2_000

/**
 * Welcomes runners, compares what they have with what they were given, and gives them up when they stay away.
 * A runner is connected, awaited or given up. A closed link leads from connected to awaited. A new hello leads back,
 * and the end of `lostAfterMs` leads to given up: its attempts are lost. It is forgotten after `SHOWN_FOR_MS`, unless
 * it is drained.
 */
export class RunnerHandshake {
  readonly #options: RunnerHandshakeOptions
  /** Number of times a known runner was welcomed again, including runners known from before the hub's start. */
  reconnects = 0
  /**
   * Message for runners that never came back. The stored "last seen" time changes only when a runner comes or goes,
   * so it would be too old for a runner of a killed hub.
   */
  readonly #neverBack = `has not reconnected since the hub was started at ${new Date().toISOString()}`
  /** Attempts whose `start` had no answer at the last check, each with its epoch. */
  #unanswered = new Map<Assignment, number>()
  readonly #checkTimer: NodeJS.Timeout
  /** Links that said hello before `open`; undefined afterwards. */
  #early: [RunnerLink, Hello][] | undefined = []

  constructor(options: RunnerHandshakeOptions) {
    this.#options = options
    const everyMs = START_HEARTBEATS * options.heartbeatMs
    this.#checkTimer = setInterval(() => this.#startAgain(), everyMs).unref()
  }

  /** Starts to answer runners, and to wait for those that do not come. May be called twice. */
  open(): void {
    const early = this.#early ?? []
    this.#early = undefined
    for (const runner of this.#options.runners.values()) this.#awaitReturn(runner, this.#neverBack)
    for (const [link, hello] of early) void this.#greet(link, hello)
  }

  hello(link: RunnerLink, hello: Hello): void {
    if (this.#early) this.#early.push([link, hello])
    else void this.#greet(link, hello)
  }

  /** Returns the runner of the link. Frames of a link that was replaced, or not welcomed yet, do not count. */
  runnerOf(link: RunnerLink): Runner | undefined {
    const { hello, principal } = link
    const runner = hello && this.#options.runners.get(runnerKey(principal.tenant, hello.runner_id))
    return runner?.link === link ? runner : undefined
  }

  /** Notes that the runner has the attempt, as the log of a resumed run says. */
  expect(assignment: Assignment, id: string): void {
    const { runners, dispatch, isDurable, rules } = this.#options
    const { tenant } = needOf(assignment.spec)
    const runner = runners.get(runnerKey(tenant, id)) ?? new Runner(tenant, id, rules)
    runners.set(runner.key, runner)
    dispatch.hold(assignment, runner.key)
    if (!runner.link) {
      if (!this.#early) this.#awaitReturn(runner, this.#neverBack)
    } else if (whenMissing(assignment, runner.hello!, isDurable) === 'unsent')
      dispatch.startOn(assignment, runner)
    else this.#gone(assignment, runner)
  }

  /** Makes a connected runner reconnect, so that what it has is compared again with what it was given. */
  greetAgain(key: RunnerKey): void {
    this.#options.runners.get(key)?.link?.terminate()
  }

  closed(link: RunnerLink): void {
    const runner = this.runnerOf(link)
    if (!runner) return
    runner.link = undefined
    runner.lastSeenAtMs = link.lastSeenAtMs
    this.#options.known.inPassing(runner, this.#options.known.keep(runner))
    // A runner that announces its end was told to stop.
    if (link.left) this.#options.log(`Runner "${runner.id}" has stopped.`, { runner_id: runner.id })
    else this.#options.log(`Runner "${runner.id}" is disconnected.`, { level: 'warn', runner_id: runner.id })
    const since = new Date(runner.lastSeenAtMs).toISOString()
    this.#awaitReturn(runner, `has not been heard from since ${since}`)
    this.#options.dispatch.rosterChanged(runner)
  }

  /** Counts everything that the runner has as lost. */
  giveUp(runner: Runner, message: string, reason: 'lost' | 'oom' = 'lost'): void {
    const { assignments, dispatch } = this.#options
    runner.expected = false
    runner.lostAtMs = undefined
    for (const assignment of assignments.assignedTo(runner))
      assignments.settleVanished(assignment, { type: 'ended', outcome: 'failed', reason, message })
    dispatch.rosterChanged(runner)
  }

  /** Stops the timers; may be called twice. */
  close(): void {
    clearInterval(this.#checkTimer)
    for (const runner of this.#options.runners.values()) clearTimeout(runner.lostTimer)
  }

  async #greet(link: RunnerLink, hello: Hello): Promise<void> {
    const { runners, heartbeatMs } = this.#options
    const { runner_id: id, boot_id } = hello
    const { tenant, group, runner_id: bound } = link.principal
    if (bound !== undefined && bound !== id) {
      link.refuse('forbidden', `The token is for the runner "${bound}", not for "${id}".`, false)
      return
    }
    if (hello.tenant !== undefined && hello.tenant !== tenant) {
      link.refuse('forbidden', `The token is not for the tenant "${hello.tenant}".`, false)
      return
    }
    if (group !== undefined && hello.group === DEFAULT_GROUP) hello.group = group
    if (group !== undefined && hello.group !== group) {
      link.refuse('forbidden', `The token is for group "${group}", not for "${hello.group}".`, false)
      return
    }
    const key = runnerKey(tenant, id)
    for (let older = runners.get(key)?.link; older; older = runners.get(key)?.link) {
      if (older.boot !== boot_id && (await older.answers(Math.min(PROBE_MS, heartbeatMs)))) {
        const { hello: there, connectedAtMs } = runners.get(key)!
        const since = new Date(connectedAtMs).toISOString()
        link.refuse(
          'conflict',
          `The runner id "${id}" is in use by another process, on ${there?.hostname} (${older.address}), connected since ${since}. ` +
            'Give each runner its own id, also on a copied machine: errand runner enroll --id NAME, with a new enrolment token.',
          true,
        )
        return
      }
      older.terminate()
    }
    if (!link.closed) this.#welcome(link, hello)
  }

  #welcome(link: RunnerLink, hello: Hello): void {
    const { runners, known, assignments, dispatch, isDurable, rules } = this.#options
    const { heartbeatMs, lostAfterMs, graceMs, log } = this.#options
    const { tenant } = link.principal
    const runner =
      runners.get(runnerKey(tenant, hello.runner_id)) ?? new Runner(tenant, hello.runner_id, rules)
    runners.set(runner.key, runner)
    clearTimeout(runner.lostTimer)
    runner.lostTimer = undefined
    runner.lostAtMs = undefined
    runner.expected = false
    if (runner.hello?.boot_id !== hello.boot_id) runner.draining = false
    runner.hello = hello
    runner.link = link
    if (runner.connectedAtMs > 0) this.reconnects++
    runner.connectedAtMs = Date.now()
    known.inPassing(runner, known.keep(runner))
    const isAside = (runId: string) => assignments.isAside(runId, runner.key)
    const stock = reconcile(hello, assignments.assignedTo(runner), { isDurable, isAside })
    link.send({
      type: 'welcome',
      protocol: commonProtocol(hello) ?? PROTOCOL_VERSION,
      heartbeat_ms: heartbeatMs,
      lost_after_ms: lostAfterMs,
      attempts: stock.answers,
      reports: [...laterReports],
      progress: true,
    })
    log(`Runner "${runner.id}" of group "${hello.group}" is connected.`, { runner_id: runner.id })
    for (const assignment of stock.going) {
      dispatch.begun(assignment)
      assignment.sent = sentTo(hello)
      assignment.inbox.rewind()
      commandInputs(assignment, link)
      commandCancel(assignment, link, graceMs)
    }
    for (const assignment of stock.unsent) dispatch.startOn(assignment, runner)
    for (const assignment of stock.gone) this.#gone(assignment, runner)
    for (const run_id of hello.runs ?? [])
      if (!isAside(run_id) && !dispatch.affinity.found(run_id, runner))
        link.send({ type: 'forget_run', run_id })
    dispatch.rosterChanged(runner)
  }

  /**
   * Sends unanswered `start`s again: a frame can get lost over a link that stays open. A runner that has the attempt
   * already answers again.
   */
  #startAgain(): void {
    const { runners, assignments, dispatch } = this.#options
    const before = this.#unanswered
    this.#unanswered = new Map()
    for (const runner of runners.values()) {
      if (!runner.link) continue
      for (const assignment of assignments.assignedTo(runner)) {
        const { begun, sent, epoch } = assignment
        if (begun || sent.type !== 'to') continue
        if (before.get(assignment) === epoch) dispatch.startOn(assignment, runner)
        else this.#unanswered.set(assignment, epoch)
      }
    }
  }

  #gone(assignment: Assignment, { id, hello }: Runner): void {
    const { sent } = assignment
    const isWhole = sent.type !== 'never' && sent.storage === hello?.storage_id
    const message = isWhole
      ? `Runner "${id}" was restarted and no longer has this attempt.`
      : `Runner "${id}" has lost this attempt: its machine was restarted, or it uses another folder. The attempt may have started.`
    const end = { type: 'ended', outcome: 'interrupted', reason: 'lost', message } as const
    this.#options.assignments.settleVanished(assignment, end)
  }

  /** Starts the time that the runner has to come back. */
  #awaitReturn(runner: Runner, silence: string): void {
    if (runner.link || runner.lostTimer) return
    runner.expected = true
    runner.lostAtMs = Date.now() + this.#options.lostAfterMs
    runner.lostTimer = setTimeout(() => {
      this.giveUp(runner, `Runner "${runner.id}" ${silence}.`)
      if (runner.drained) return
      runner.lostTimer = setTimeout(() => {
        this.#options.runners.delete(runner.key)
        this.#options.known.inPassing(runner, this.#options.known.forget(runner))
      }, SHOWN_FOR_MS)
    }, this.#options.lostAfterMs)
  }
}

interface Reconciled {
  answers: AttemptAnswer[]
  /** Attempts that the runner continues. */
  going: Assignment[]
  /** Attempts that it never had. */
  unsent: Assignment[]
  /** Attempts that it had and has lost. */
  gone: Assignment[]
}

/**
 * Compares what a runner says it has with what it was given. It gets no answer for runs that are set aside, so it
 * keeps all of them.
 */
function reconcile(
  hello: Hello,
  assignments: readonly Assignment[],
  of: { isDurable(action: string): boolean; isAside(runId: string): boolean },
): Reconciled {
  const stock: Reconciled = { answers: [], going: [], unsent: [], gone: [] }
  const byId = new Map(assignments.map((assignment) => [assignment.spec.attempt_id, assignment]))
  const named = new Set<Assignment>()
  for (const { attempt_id, epoch, reports: has = Number.POSITIVE_INFINITY } of hello.attempts) {
    const assignment = byId.get(attempt_id)
    if (of.isAside(splitAttemptId(attempt_id).runId)) continue
    if (assignment?.epoch === epoch) {
      const { reports, stdout, stderr } = assignment.inbox.committed
      if (has < reports) {
        // Its next report would have a number that is already known, and would never count.
        const why = 'the runner has lost its earlier reports about it'
        stock.answers.push({ state: 'superseded', attempt_id, epoch, why })
        stock.gone.push(assignment)
        named.add(assignment)
        continue
      }
      stock.answers.push({ state: 'continue', attempt_id, epoch, reports, streams: { stdout, stderr } })
      stock.going.push(assignment)
      named.add(assignment)
    } else {
      const why = assignment
        ? `its epoch is now ${assignment.epoch}`
        : 'it has ended at the hub, or another runner has it'
      stock.answers.push({ state: 'superseded', attempt_id, epoch, why })
    }
  }
  for (const assignment of assignments)
    if (!named.has(assignment)) stock[whenMissing(assignment, hello, of.isDurable)].push(assignment)
  return stock
}

/** Tells whether an attempt that a runner does not have was never begun, or is gone. */
function whenMissing(
  { begun, sent, spec }: Assignment,
  { boot_id, storage_id }: Pick<Hello, 'boot_id' | 'storage_id'>,
  isDurable: (action: string) => boolean,
): 'unsent' | 'gone' {
  if (begun) return 'gone'
  if (sent.type === 'never' || (sent.type === 'to' && sent.boot === boot_id)) return 'unsent'
  // A durable action has a folder before it begins, so without a folder it never began. That holds only if no folder
  // can have vanished, as happens when a machine loses power before the folder is on disk. The storage id shows that.
  const isWhole = storage_id !== undefined && sent.storage === storage_id
  return isWhole && isDurable(spec.action) ? 'unsent' : 'gone'
}
