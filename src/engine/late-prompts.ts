import type { AttemptEnd } from '../contract/attempt.ts'
import { ErrandError, messageOf } from '../contract/errors.ts'
import type { NewEvent } from '../contract/events.ts'
import type { AttemptState, RunState } from './state.ts'

/** As `EngineOptions.passOn`. */
export type PassOn = (runId: string, inputIds: readonly string[]) => Promise<string[]>

/** The fate of a prompt that came too late. */
export type Late = { input_id: string } & ({ run_id: string } | { message: string })

/** Ids of the prompts that were given to an attempt and that it has not taken, oldest first. */
export const untakenPrompts = ({ talk }: AttemptState): string[] =>
  talk?.untaken.flatMap(({ type, input_id }) => (type === 'prompt' ? [input_id] : [])) ?? []

/**
 * Finds a run for each of the prompts that an attempt which ends so has not taken. One that was stopped or failed has none:
 * to go on is for a person to decide. Throws what may work later.
 */
export async function passOnLate(
  inputIds: readonly string[],
  run: { run_id: string; state: RunState; attempt: AttemptState; end: AttemptEnd },
  passOn: PassOn | undefined,
): Promise<Late[]> {
  const { run_id, state, attempt, end } = run
  const dropped = (message: string) => inputIds.map((input_id) => ({ input_id, message }))
  const stopped = state.cancel !== undefined || state.timed_out || attempt.cancel !== undefined
  if (stopped) return dropped('The run was stopped before its turn came.')
  if (end.outcome !== 'success' && end.outcome !== 'canceled')
    return dropped('The session failed before its turn came.')
  if (passOn === undefined) return dropped('The session ended before its turn came.')
  try {
    const runIds = await passOn(run_id, inputIds)
    return inputIds.map((input_id, index) => ({ input_id, run_id: runIds[index]! }))
  } catch (error) {
    if (!(error instanceof ErrandError) || error.status >= 500) throw error
    return dropped(messageOf(error))
  }
}

export const lateEvent = (attempt: number, late: Late): NewEvent =>
  'run_id' in late
    ? { type: 'input.passed_on', attempt, ...late }
    : { type: 'input.dropped', attempt, ...late }
