import type { BotLive } from '../../contract/bot.ts'
import type { OutputFrame } from '../../contract/output-frame.ts'
import type { Hello, RunnerFrame } from '../../contract/protocol.ts'
import type { RunnerAsks } from './asks.ts'
import type { Assignment } from './assignment.ts'
import type { Dispatch } from './dispatch.ts'
import type { Ledger } from './ledger.ts'
import type { Reception } from './reception.ts'
import type { Runner } from './roster.ts'
import type { RunnerLink } from './runner-link.ts'

export interface IncomingOptions {
  reception: Reception
  ledger: Ledger
  dispatch: Dispatch
  asks: RunnerAsks
}

type Frame = Exclude<RunnerFrame, Hello>
type MachineFrame = Extract<Frame, { type: 'draining' | 'agents' | 'containers' }>

/** The frames of welcomed runners: of their machine, and of attempts. */
export class Incoming {
  readonly #options: IncomingOptions

  constructor(options: IncomingOptions) {
    this.#options = options
  }

  frame(link: RunnerLink, frame: Frame): void {
    const runner = this.#options.reception.runnerOf(link)
    if (frame.type === 'draining' || frame.type === 'agents' || frame.type === 'containers') {
      if (runner) this.#machine(runner, frame)
      return
    }
    if (frame.type === 'answer') {
      this.#options.asks.answered(link, frame.ask_id, frame.answer)
      return
    }
    if (frame.type === 'bots') {
      if (runner) for (const bot of frame.bots) this.#bot(runner, bot)
      return
    }
    const assignment = this.#find(link, frame, frame.type !== 'rejected')
    if (!runner || !assignment) return
    if (frame.type === 'rejected') {
      // One that drains would take it at another time.
      if (!runner.draining) {
        const why = `runner "${runner.id}" rejected it: ${frame.message}`
        assignment.rejections.set(runner.key, why)
      }
      assignment.sent = { type: 'never' }
      this.#options.dispatch.again(assignment)
      return
    }
    this.#options.dispatch.begun(assignment)
    if (frame.type === 'report') assignment.inbox.report(frame.n, frame.report)
  }

  output(link: RunnerLink, frame: OutputFrame): void {
    const assignment = this.#find(link, frame, true)
    assignment?.inbox.output(frame.stream, frame.offset, frame.bytes, link)
  }

  #machine(runner: Runner, frame: MachineFrame): void {
    if (frame.type === 'draining') runner.draining = true
    else if (!runner.hello) return
    else if (frame.type === 'containers') runner.hello.containers = frame.containers
    else {
      runner.hello.agents = frame.agents
      return
    }
    this.#options.dispatch.rosterChanged(runner)
  }

  /** The state of bots is in no log: whoever asks is told what was said last. */
  #bot(runner: Runner, bot: BotLive): void {
    const assignment = this.#options.ledger.get(bot.attempt_id)
    const { stage } = assignment ?? {}
    if (stage?.type === 'placed' && stage.runner === runner.key) assignment!.live = bot
  }

  /** Returns the attempt that the frame is about. A runner that is at something it should not be at is told so, if it works on it. */
  #find(
    link: RunnerLink,
    { attempt_id, epoch }: { attempt_id: string; epoch: number },
    worksOnIt: boolean,
  ): Assignment | undefined {
    const runner = this.#options.reception.runnerOf(link)
    if (!runner) return undefined
    const assignment = this.#options.ledger.get(attempt_id)
    const stage = assignment?.stage
    if (assignment?.epoch === epoch && stage?.type === 'placed' && stage.runner === runner.key)
      return assignment
    const why = 'it ended here, or was handed on'
    if (worksOnIt) link.send({ type: 'superseded', attempt_id, epoch, why })
    return undefined
  }
}
