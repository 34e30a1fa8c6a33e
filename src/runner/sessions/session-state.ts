import type { Program, SessionRequest } from '../../agents/agent.ts'
import type { AttemptInput } from '../../contract/agent.ts'
import type { Told } from '../proxy/rules.ts'

/**
 * All that a session is told, but for the lines of the agent's program. It is in the journal, with how far the program's
 * lines were read, before it counts: so a later process of this runner comes to the same state.
 */
export type SessionEvent =
  /** A process of the agent is begun; the environment is made anew each time. */
  | { type: 'launched'; program?: Program; request: Omit<SessionRequest, 'env'> }
  /** A later runner found the process alive. */
  | { type: 'found' }
  /** The process is not there any more, and left no exit code. */
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
  /** The door of its box has told this, up to there in its file; `last`: it is closed. */
  | { type: 'told'; lines: readonly Told[]; offset: number; last?: true }

export type Launched = Extract<SessionEvent, { type: 'launched' }>
export type ToldEvent = Extract<SessionEvent, { type: 'told' }>
export type Exited = Extract<SessionEvent, { type: 'exited' }>

/** down: no process; starting: it shakes hands; ready: it takes a prompt; busy: a turn; ended: a turn is over. */
export type Phase = 'down' | 'starting' | 'ready' | 'busy' | 'ended'

/** open: prompts may go to the agent; verifying: not before the checks are through; settled: its end is known. */
export type Work = 'open' | 'verifying' | 'settled' | 'stopped'

type Moves<State extends string> = Partial<Record<State, State>>

/** Where each happening leads. What stands in no row leaves the session as it is. */
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

/** The state of a session: where the agent is, and whether it is asked anything more. */
export class SessionState {
  agent: Phase = 'down'
  work: Work = 'open'

  /** Whether the move was one in this state. */
  move(name: SessionMove): boolean {
    const { agent, work }: { agent?: Moves<Phase>; work?: Moves<Work> } = sessionMoves[name]
    const nextAgent = agent?.[this.agent]
    const nextWork = work?.[this.work]
    this.agent = nextAgent ?? this.agent
    this.work = nextWork ?? this.work
    return nextAgent !== undefined || nextWork !== undefined
  }

  /** Nothing more is asked of the agent, for ever or until the checks are through. */
  get resting(): boolean {
    return this.work !== 'open'
  }
  /** Nothing more is asked of the agent, for ever. */
  get over(): boolean {
    return this.work === 'settled' || this.work === 'stopped'
  }
}
