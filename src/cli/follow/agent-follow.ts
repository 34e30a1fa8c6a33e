import { randomUUID } from 'node:crypto'
import type { NewInput } from '../../contract/agent.ts'
import type { RunEvent } from '../../contract/events.ts'
import type { RunStatus } from '../../contract/status.ts'
import { exitCodeOfRun } from '../exit-codes.ts'
import { AgentDisplay } from '../render/agent-display.ts'
import { usesColor } from '../render/terminal-text.ts'
import { AgentQuestions, askLine } from './agent-questions.ts'
import { JsonLines } from './json-lines.ts'
import { TextOut } from './text-out.ts'

/** Describes the run of an agent that this command follows, wherever it runs. */
export interface FollowedAgent {
  runId: string
  events: AsyncIterable<RunEvent>
  /** Gives an input to the run. Resolves to the run that has it. */
  give(input: NewInput): Promise<{ run_id: string }>
  cancel(force: boolean): Promise<void>
  /** Returns the run for the last line of `--json`. */
  view(): Promise<unknown>
  /** Set if the run was open before and got this prompt: only the turn of this prompt is followed. */
  joined?: { input_id: string }
  /** A prompt of this reader that an earlier run passed on to this one. */
  passedOn?: string
  /** Returns how others answer a question; absent: nobody else can. */
  answerHint?(requestId: string): string
  /** Text on how to continue when the run has ended. */
  continueHint: string
}

export interface AgentShow {
  json: boolean
  /** The command asks for more prompts here. */
  interactive: boolean
  /** The prompt came from standard input, so that nothing can be asked there. */
  fromStdin: boolean
}

export interface FollowedTo {
  exitCode: number
  /** False if the run ended before it took the prompt that it was given. */
  taken: boolean
  /** The run that has a prompt of this reader that came too late for this run. */
  goesOn?: { runId: string; passedOn: string }
}

/** Shows the run until it ends, or the turn of a joined prompt. Ctrl-C cancels the turn, then the run. */
export async function followAgent(
  run: FollowedAgent,
  { json, interactive, fromStdin }: AgentShow,
): Promise<FollowedTo> {
  const out = new TextOut(process.stdout)
  const tty = process.stdout.isTTY ?? false
  const display = new AgentDisplay({ tty, color: usesColor(tty, process.env) })
  const person = tty && process.stdin.isTTY === true && !json && !fromStdin
  const questions = new AgentQuestions({
    ask: person,
    othersCan: run.answerHint !== undefined,
    hint: (id) => run.answerHint?.(id) ?? '',
    give: run.give,
    write: async (text) => (json ? undefined : await out.write(display.pause() + text)),
  })
  const lines = new JsonLines(run.runId)
  const ended = new AbortController()
  const signals = new Interrupts(run, { report: !json, turnFirst: interactive || run.joined !== undefined })
  out.whenGone(() => signals.cancel())

  let status: RunStatus = 'running'
  let session = run.joined !== undefined
  let taken = run.joined === undefined
  let lastTurn = ''
  let goesOn: FollowedTo['goesOn']
  const own = new Set([run.joined?.input_id, run.passedOn])
  let asking: Promise<FollowedTo['goesOn']> | undefined
  try {
    for await (const event of run.events) {
      await out.write(json ? lines.event(event, run.runId) : display.add(event))
      if (event.type === 'run.finished') status = event.status
      if (event.type === 'input.taken' && event.input_id === run.joined?.input_id) taken = true
      if (event.type === 'input.passed_on' && own.has(event.input_id))
        goesOn = { runId: event.run_id, passedOn: event.input_id }
      if (event.type !== 'agent.update') continue
      const { update } = event
      if (update.kind === 'session') session ||= update.session_id !== undefined
      questions.follow(update, event.attempt, run.runId)
      if (update.kind === 'prompt') signals.turnBegins()
      if (update.kind === 'turn_ended') lastTurn = update.stop_reason
      if (update.kind !== 'idle') continue
      if (interactive) asking = askNext(run, display, ended.signal, own)
      else if (taken && (run.joined ?? run.passedOn) !== undefined) {
        status = lastTurn === 'end_turn' ? 'success' : lastTurn === 'canceled' ? 'canceled' : 'failed'
        break
      }
    }
    ended.abort()
    // A prompt for a run that had ended has started another run.
    goesOn = (await asking) ?? goesOn
    if (json) await out.write(lines.result(await run.view()))
    else if (session && goesOn === undefined && (taken || status !== 'success'))
      await out.write(`${run.continueHint}\n`)
  } finally {
    ended.abort()
    questions.close()
    signals.close()
  }
  return { exitCode: exitCodeOfRun(status), taken, goesOn }
}

/** Asks for the next prompt; the end of input ends the session. Returns the run that has it if that is another one. */
async function askNext(
  run: FollowedAgent,
  display: AgentDisplay,
  signal: AbortSignal,
  own: Set<string | undefined>,
): Promise<FollowedTo['goesOn']> {
  let line: string | undefined
  do line = await askLine('> ', signal)
  while (line !== undefined && line.trim() === '')
  if (signal.aborted) return undefined
  const input_id = randomUUID()
  const input: NewInput =
    line === undefined ? { type: 'close', input_id } : { type: 'prompt', input_id, text: line }
  display.seen(input_id)
  own.add(input_id)
  try {
    const { run_id } = await run.give(input)
    return run_id === run.runId ? undefined : { runId: run_id, passedOn: input_id }
  } catch {
    // The run may have ended while the line was typed.
    return undefined
  }
}

/**
 * Decides what Ctrl-C cancels: first the turn, if more turns may follow, then the run, then the run by force. Other
 * signals cancel the run.
 */
class Interrupts {
  readonly #run: FollowedAgent
  readonly #report: boolean
  readonly #first: number
  #questionCount: number
  readonly #onInterrupt = (): void => {
    this.#questionCount++
    const next = [
      '',
      'the turn. Press Ctrl-C again to cancel the run',
      'the run. Press Ctrl-C again to kill it now',
    ][this.#questionCount]
    if (this.#report && next) process.stderr.write(`\nCanceling ${next}.\n`)
    if (this.#questionCount === 1) this.#run.give({ type: 'cancel_turn' }).catch(() => this.cancel())
    else if (this.#questionCount <= 3) this.cancel(this.#questionCount === 3)
  }
  readonly #onSignal = (): void => this.cancel()

  constructor(run: FollowedAgent, { report, turnFirst }: { report: boolean; turnFirst: boolean }) {
    this.#run = run
    this.#report = report
    // If no more turns can follow, ending this turn means ending the run.
    this.#first = turnFirst ? 0 : 1
    this.#questionCount = this.#first
    process.on('SIGINT', this.#onInterrupt).on('SIGTERM', this.#onSignal).on('SIGHUP', this.#onSignal)
  }

  /** Lets the next Ctrl-C cancel the turn that begins. */
  turnBegins(): void {
    this.#questionCount = this.#first
  }

  cancel(force = false): void {
    // The run may have ended in the meantime; then there is nothing to cancel.
    this.#run.cancel(force).catch(() => {})
  }

  close(): void {
    process.off('SIGINT', this.#onInterrupt).off('SIGTERM', this.#onSignal).off('SIGHUP', this.#onSignal)
  }
}
