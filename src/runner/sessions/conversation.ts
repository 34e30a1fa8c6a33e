import type { AgentProtocol, ProtocolPort } from '../../agents/agent.ts'
import type { SerialCalls } from './serial-calls.ts'
import type { Exited, Launched } from './session-event.ts'

/** down: no process; starting: it shakes hands; ready: it takes a prompt; busy: a turn; ended: a turn is over. */
export type Phase = 'down' | 'starting' | 'ready' | 'busy' | 'ended'

export type Connect = (launched: Launched, port: Omit<ProtocolPort, 'send'>) => AgentProtocol

export interface ConversationOptions {
  connect: Connect
  /** What the protocol calls is done after it has returned, for its calls come one at a time. */
  calls: SerialCalls
  /** What it says. */
  port: Pick<ProtocolPort, 'update' | 'failed'>
}

/** What is spoken with the agent: with one process after another, each by a protocol of its own. */
export class Conversation {
  readonly #options: ConversationOptions
  #phase: Phase = 'down'
  #protocol: AgentProtocol | undefined
  #launches = 0

  constructor(options: ConversationOptions) {
    this.#options = options
  }

  get phase(): Phase {
    return this.#phase
  }

  launched(event: Launched): void {
    const { connect, calls, port } = this.#options
    const number = ++this.#launches
    this.#phase = 'starting'
    // A process that is over has no say any more.
    const call = (what: () => void) => {
      if (number === this.#launches) calls.add(what)
    }
    this.#protocol = connect(event, {
      update: (update) => call(() => port.update(update)),
      ready: () => call(() => this.ready()),
      failed: (failure) => call(() => port.failed(failure)),
    })
    this.#protocol.begin()
  }

  line(text: string): void {
    this.#protocol?.line(text)
  }

  ready(): void {
    if (this.#phase === 'starting' || this.#phase === 'ended') this.#phase = 'ready'
  }

  /** A prompt follows. */
  turnBegins(): void {
    this.#phase = 'busy'
  }

  prompt(text: string): void {
    this.#protocol!.prompt(text)
  }

  answer(requestId: string, decision: 'allow' | 'deny'): void {
    this.#protocol?.answer(requestId, decision)
  }

  cancelTurn(): void {
    this.#protocol?.cancelTurn()
  }

  turnEnded(): void {
    this.#phase = 'ended'
  }

  exited({ type: _, ...exit }: Exited): void {
    this.#protocol?.exited(exit)
  }

  /** Its process is not there any more. */
  over(): void {
    this.#protocol = undefined
    this.#phase = 'down'
  }
}
