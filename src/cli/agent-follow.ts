import type { GivenInput } from '../contract/agent.ts'
import type { RunEvent } from '../contract/events.ts'
import type { RunStatus } from '../contract/status.ts'
import { AgentQuestions } from './agent-questions.ts'
import { askLine } from './agent-terminal.ts'
import { exitCodeOfRun } from './exit-codes.ts'
import { AgentDisplay } from './render/agent-display.ts'
import { wantsColor } from './render/palette.ts'
import { TextOut } from './text-out.ts'

/** A run of an agent as this command follows it, wherever it is carried out. */
export interface FollowedAgent {
  runId: string
  events: AsyncIterable<RunEvent>
  give(input: GivenInput): Promise<unknown>
  cancel(force: boolean): Promise<void>
  /** The run for the last line of `--json`. */
  view(): Promise<unknown>
  /** It was there before: what is followed is one turn of it. */
  joined?: boolean
  /** How others answer a question; absent: nobody else can. */
  answerHint?(requestId: string): string
  /** How to go on when it has ended. */
  continueHint: string
}

export interface AgentShow {
  json: boolean
  /** Further prompts are asked for here. */
  interactive: boolean
  /** Standard input is taken by the prompt. */
  fromStdin: boolean
}

/** Shows the run until it ends. Ctrl-C cancels the turn, then the run. Answers the exit code. */
export async function followAgent(
  run: FollowedAgent,
  { json, interactive, fromStdin }: AgentShow,
): Promise<number> {
  const out = new TextOut(process.stdout)
  const tty = process.stdout.isTTY ?? false
  const display = new AgentDisplay({ tty, color: wantsColor(tty, process.env) })
  const person = tty && process.stdin.isTTY === true && !json && !fromStdin
  const questions = new AgentQuestions({
    ask: person,
    othersCan: run.answerHint !== undefined,
    hint: (id) => run.answerHint?.(id) ?? '',
    give: run.give,
    write: async (text) => (json ? undefined : await out.write(display.pause() + text)),
  })
  const ended = new AbortController()
  const signals = new Interrupts(run, { tell: !json, turnFirst: interactive || run.joined === true })
  out.whenGone(() => signals.cancel())

  let status: RunStatus = 'running'
  let session = run.joined ?? false
  let lastTurn = ''
  try {
    for await (const event of run.events) {
      await out.write(json ? `${JSON.stringify(event)}\n` : display.add(event))
      if (event.type === 'run.finished') status = event.status
      if (event.type !== 'agent.update') continue
      const { update } = event
      if (update.kind === 'session') session ||= update.session_id !== undefined
      if (update.kind === 'permission') questions.asked(update)
      if (update.kind === 'permission_answered') questions.answered(update.request_id)
      if (update.kind === 'prompt') signals.turnBegins()
      if (update.kind === 'turn_ended') lastTurn = update.stop_reason
      if (update.kind !== 'idle') continue
      if (interactive) void askNext(run, ended.signal)
      else if (run.joined) {
        status = lastTurn === 'end_turn' ? 'success' : lastTurn === 'canceled' ? 'canceled' : 'failed'
        break
      }
    }
    if (json) await out.write(`${JSON.stringify({ type: 'result', run: await run.view() })}\n`)
    else if (session) await out.write(`${run.continueHint}\n`)
  } finally {
    ended.abort()
    questions.close()
    signals.close()
  }
  return exitCodeOfRun(status)
}

/** An empty line is asked again; the end of input ends the session. */
async function askNext(run: FollowedAgent, signal: AbortSignal): Promise<void> {
  let line: string | undefined
  do line = await askLine('> ', signal)
  while (line !== undefined && line.trim() === '')
  if (signal.aborted) return
  const input: GivenInput = line === undefined ? { type: 'close' } : { type: 'prompt', text: line }
  // It may have ended while the line was typed.
  await run.give(input).catch(() => {})
}

/** What a person's Ctrl-C cancels: the turn where more may follow, then the run, then it by force. Other signals: the run. */
class Interrupts {
  readonly #run: FollowedAgent
  readonly #tell: boolean
  readonly #first: number
  #asked: number
  readonly #onInterrupt = (): void => {
    this.#asked++
    const next = [
      '',
      'the turn. Press Ctrl-C again to cancel the run',
      'the run. Press Ctrl-C again to force it',
    ][this.#asked]
    if (this.#tell && next) process.stderr.write(`\nCanceling ${next}.\n`)
    if (this.#asked === 1) this.#run.give({ type: 'cancel_turn' }).catch(() => this.cancel())
    else if (this.#asked <= 3) this.cancel(this.#asked === 3)
  }
  readonly #onSignal = (): void => this.cancel()

  constructor(run: FollowedAgent, { tell, turnFirst }: { tell: boolean; turnFirst: boolean }) {
    this.#run = run
    this.#tell = tell
    // Without a turn to come, the end of this one is that of the run.
    this.#first = turnFirst ? 0 : 1
    this.#asked = this.#first
    process.on('SIGINT', this.#onInterrupt).on('SIGTERM', this.#onSignal).on('SIGHUP', this.#onSignal)
  }

  /** Ctrl-C is for this turn again. */
  turnBegins(): void {
    this.#asked = this.#first
  }

  cancel(force = false): void {
    // It may have ended meanwhile; then there is nothing to cancel.
    this.#run.cancel(force).catch(() => {})
  }

  close(): void {
    process.off('SIGINT', this.#onInterrupt).off('SIGTERM', this.#onSignal).off('SIGHUP', this.#onSignal)
  }
}
