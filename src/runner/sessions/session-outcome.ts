import type { AgentUpdateOf } from '../../contract/agent.ts'
import type { Reason } from '../../contract/status.ts'
import type { Ending, FatalSignal } from '../attempts/verdict.ts'
import type { Exited, Phase } from './session-state.ts'

export type SessionEnd =
  | { type: 'success' }
  | { type: 'canceled' }
  /** `signal`: the signal that ended its process. */
  | { type: 'failed'; reason: Reason; message: string; signal?: FatalSignal }
  | { type: 'lost'; why: string }

export const failed = (reason: Reason, message: string): SessionEnd => ({ type: 'failed', reason, message })

/** Converts the end of a session to the ending of its attempt. */
export function endingOf(end: SessionEnd): Ending {
  if (end.type === 'failed') return { ...end, type: 'action_failed' }
  return end.type === 'lost' ? end : { type: 'done' }
}

/** Returns the end of a session whose last turn ended in this way. */
export function endOfTurn({ stop_reason, message, failure }: AgentUpdateOf<'turn_ended'>): SessionEnd {
  switch (stop_reason) {
    case 'end_turn':
      return { type: 'success' }
    case 'canceled':
      return { type: 'canceled' }
    case 'max_turns':
      return failed('budget', message ?? 'The model has used all its turns.')
    case 'max_tokens':
      return failed('model', message ?? 'The answer reached the token limit of the model.')
    case 'refusal':
      return failed('model', message ?? 'The model refused.')
    case 'error':
      if (failure === undefined)
        return failed('action_failed', message ?? 'The agent failed and did not say why.')
      return failed('model', `${failure}: ${message ?? 'the model service failed'}`)
  }
}

/** Returns the end of a session whose process exited in that phase; undefined if it was allowed to. */
export function endOfExit(title: string, exit: Exited, phase: Phase): SessionEnd | undefined {
  const how = exit.signal === undefined ? `exit code ${exit.code ?? 'unknown'}` : exit.signal
  const words = stderrTail(exit)
  const ended = `${title} ended (${how})`
  if (phase === 'starting')
    return failed('start_failed', `${ended} before it accepted a prompt. ${words}`.trim())
  if (phase === 'busy') return failed('action_failed', `${ended} in the middle of its turn. ${words}`.trim())
  return undefined
}

/** Returns the last words of the process, if the session failed and its message lacks them. */
export function unsaidWords(exit: Exited, end: SessionEnd | undefined): string | undefined {
  const words = stderrTail(exit)
  return end?.type === 'failed' && words !== '' && !end.message.includes(words.slice(-200))
    ? words
    : undefined
}

const stderrTail = ({ stderr }: Exited): string => stderr.trim().slice(-2000)
