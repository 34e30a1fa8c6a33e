import type { Program, SessionRequest } from '../../agents/agent.ts'
import type { AttemptInput } from '../../contract/agent.ts'
import type { LogEntry } from '../proxy/rules.ts'

/**
 * Describes everything that a session learns, except the lines of the agent's program. An event is in the journal, with
 * how far the program's lines were read, before it counts. So a later process of this runner reaches the same state.
 */
export type SessionEvent =
  /** A process of the agent begins; its environment is rebuilt each time. */
  | { type: 'launched'; program?: Program; request: Omit<SessionRequest, 'env'> }
  /** A later runner found the process alive. */
  | { type: 'found' }
  /** The process has vanished without an exit code. */
  | { type: 'gone'; why: string }
  | { type: 'exited'; code?: number; signal?: string; stderr: string }
  | { type: 'input'; input: AttemptInput }
  /** A person is asked, until then. */
  | { type: 'asked'; request_id: string; expires_at: string }
  | {
      type: 'decided'
      request_id: string
      decision: 'allow' | 'deny'
      by: 'rule' | 'policy' | 'timeout'
      rule?: string
    }
  | { type: 'verified'; passed: boolean; how: string; output: string }
  /** The session waits for prompts, until then. */
  | { type: 'waits'; until: string }
  | { type: 'idle_over' }
  | { type: 'stop' }
  | { type: 'note'; text: string }
  /** The endpoint of its box wrote these lines, up to that offset in its file; `last`: it is closed. */
  | { type: 'told'; lines: readonly LogEntry[]; offset: number; last?: true }

export type Launched = Extract<SessionEvent, { type: 'launched' }>
export type LogEvent = Extract<SessionEvent, { type: 'told' }>
export type Exited = Extract<SessionEvent, { type: 'exited' }>

/**
 * State of the agent.
 * - `down`: it has no process. A launch leads to `starting`.
 * - `starting`: it shakes hands. That leads to `ready`.
 * - `ready`: it accepts a prompt, which leads to `busy`.
 * - `busy`: it is in a turn.
 * - `ended`: a turn is over, which leads back to `ready`.
 * The end of a turn leads to `ended`, and the end of the process to `down`.
 */
export type Phase = 'down' | 'starting' | 'ready' | 'busy' | 'ended'

/**
 * State of the session's work.
 * - `open`: prompts may go to the agent. The checks lead to `verifying`.
 * - `verifying`: prompts wait for the checks, whose result leads to `open`.
 * - `settled`: its end is known.
 * - `stopped`: it was stopped from outside; any state leads here.
 */
export type Work = 'open' | 'verifying' | 'settled' | 'stopped'

type Moves<State extends string> = Partial<Record<State, State>>

/** Maps each event to its transitions. An event without a transition from the current state changes nothing. */
export const sessionMoves = {
  launched: { agent: { down: 'starting' } },
  ready: { agent: { starting: 'ready', ended: 'ready' } },
  prompted: { agent: { ready: 'busy' } },
  turn_ended: { agent: { starting: 'ended', ready: 'ended', busy: 'ended' } },
  process_over: { agent: { starting: 'down', ready: 'down', busy: 'down', ended: 'down' } },
  verify: { work: { open: 'verifying' } },
  checked: { work: { verifying: 'open' } },
  settled: { work: { open: 'settled', verifying: 'settled' } },
  stopped: { work: { open: 'stopped', verifying: 'stopped', settled: 'stopped' } },
} as const satisfies Record<string, { agent?: Moves<Phase>; work?: Moves<Work> }>

export type SessionMove = keyof typeof sessionMoves

/** Holds the state of a session: where the agent is, and whether it gets more requests. */
export class SessionState {
  agent: Phase = 'down'
  work: Work = 'open'

  /** Applies an event; returns whether it was a transition from this state. */
  move(name: SessionMove): boolean {
    const { agent, work }: { agent?: Moves<Phase>; work?: Moves<Work> } = sessionMoves[name]
    const nextAgent = agent?.[this.agent]
    const nextWork = work?.[this.work]
    this.agent = nextAgent ?? this.agent
    this.work = nextWork ?? this.work
    return nextAgent !== undefined || nextWork !== undefined
  }

  /** Tells whether the agent gets no more requests, forever or until the checks are done. */
  get resting(): boolean {
    return this.work !== 'open'
  }
  /** Tells whether the agent gets no more requests at all. */
  get over(): boolean {
    return this.work === 'settled' || this.work === 'stopped'
  }
}
