import type { Program, SessionRequest } from '../../agents/agent.ts'
import type { AttemptInput } from '../../contract/agent.ts'

/**
 * What a session is told, but for the lines of the agent's program. It is in the journal, with how far the program's
 * lines were read, before it counts: so a later process of this runner comes to the same state.
 */
export type SessionEvent =
  /** A process of the agent is begun; the environment is made anew each time. */
  | { type: 'launched'; program?: Program; request: Omit<SessionRequest, 'env'> }
  /** A later runner found the process alive. */
  | { type: 'found' }
  /** What was begun is not there any more, and left no exit code. */
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
  /** It waits for prompts, until then. */
  | { type: 'waits'; until: string }
  | { type: 'idle_over' }
  | { type: 'stop' }
  | { type: 'note'; text: string }

export type Launched = Extract<SessionEvent, { type: 'launched' }>
export type Exited = Extract<SessionEvent, { type: 'exited' }>
