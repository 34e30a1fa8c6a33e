import { randomUUID } from 'node:crypto'
import { MAX_INPUT_BYTES } from '../../contract/actions.ts'
import type { AttemptInput, GivenInput } from '../../contract/agent.ts'
import type { AttemptEnd } from '../../contract/attempt.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { EventOf, NewEvent } from '../../contract/events.ts'
import type { AttemptState, RunState, Talk } from './state.ts'

export interface InputAddress {
  by?: string
  /** Where several attempts of the run take inputs. */
  step?: string
  /** Number of the attempt. */
  attempt?: number
}

export interface Addressed {
  attempt: AttemptState
  input: AttemptInput
  /** Whether it was given before: then nothing is left to do. */
  known: boolean
}

/** Whom an input is for. Throws `no_input`, `conflict`, `body_too_large`, and changes nothing. */
export function addressInput(runId: string, state: RunState, given: GivenInput, to: InputAddress): Addressed {
  const input = { ...given, input_id: given.input_id ?? randomUUID() } as AttemptInput
  if (input.type === 'permission') input.who = to.by
  if (Buffer.byteLength(JSON.stringify(input)) > MAX_INPUT_BYTES)
    throw new ErrandError('body_too_large', `The prompt is over ${MAX_INPUT_BYTES} bytes.`, {
      hint: 'Put what is long into a file, and name the file in the prompt.',
    })
  const taking = state.attempts.filter((attempt) => attempt.talk && !attempt.end)
  const open = taking.filter((attempt) => fits(attempt, to))
  const known = open.find(({ talk }) => talk!.given.has(input.input_id))
  if (known) return { attempt: known, input, known: true }
  if (input.type === 'permission') return { attempt: asking(runId, open, input), input, known: false }
  const [attempt, other] = open
  if (!attempt) {
    const where = to.step === undefined ? 'Nothing' : `No step "${to.step}"`
    throw new ErrandError('no_input', `${where} in run ${runId} takes a ${wordFor(input)} now.`, {
      hint:
        taking.length > 0
          ? `What does: ${names(taking)}.`
          : 'Only a running agent step does; a step with interactive: true waits for prompts.',
    })
  }
  if (other)
    throw new ErrandError('conflict', `Several steps of run ${runId} take prompts: ${names(open)}.`, {
      hint: 'Name the step, or the number of the attempt.',
    })
  if (input.type === 'prompt' && attempt.talk!.closed)
    throw new ErrandError(
      'no_input',
      `Step "${attempt.step}" of run ${runId} was closed: it takes no prompt any more.`,
      {
        hint: `Once it has ended, its session goes on with: errand agent --continue ${runId} (and --hub on a hub)`,
      },
    )
  return { attempt, input, known: false }
}

const names = (attempts: readonly AttemptState[]) =>
  attempts.map(({ step, host }) => `"${step}" on ${host}`).join(', ')

const fits = (attempt: AttemptState, to: InputAddress) =>
  (to.step === undefined || to.step === attempt.step) &&
  (to.attempt === undefined || to.attempt === attempt.number)

function asking(runId: string, open: readonly AttemptState[], { request_id }: { request_id: string }) {
  const found = open.find(({ talk }) => talk!.questions.has(request_id))
  if (found) return found
  const waiting = open.flatMap(({ talk }) => [...talk!.questions])
  throw new ErrandError('conflict', `Nothing in run ${runId} waits for an answer to "${request_id}".`, {
    hint: waiting.length > 0 ? `Waiting: ${waiting.join(', ')}.` : 'It was answered, or its time is over.',
  })
}

const wordFor = ({ type }: AttemptInput) => (type === 'prompt' ? 'prompt' : `"${type}"`)

export const freshTalk = (): Talk => ({ given: new Set(), untaken: [], questions: new Set(), closed: false })

/** Folds what became of a prompt that came too late. */
export function foldLate(
  attempt: AttemptState,
  event: EventOf<'input.passed_on'> | EventOf<'input.dropped'>,
): void {
  const { input_id } = event
  const run_id = event.type === 'input.passed_on' ? event.run_id : undefined
  attempt.late = [...(attempt.late ?? []), { input_id, run_id }]
}

/** Folds what was said to and by an agent. */
export function foldTalk(
  attempt: AttemptState,
  event: EventOf<'agent.update'> | EventOf<'input.given'> | EventOf<'input.taken'>,
): void {
  const { talk } = attempt
  if (event.type !== 'input.given') attempt.reports++
  if (!talk) return
  if (event.type === 'input.given') {
    const { input } = event
    talk.given.add(input.input_id)
    talk.untaken.push(input)
    if (input.type === 'permission') talk.questions.delete(input.request_id)
    if (input.type === 'close') talk.closed = true
    return
  }
  if (event.type === 'input.taken')
    talk.untaken = talk.untaken.filter((input) => input.input_id !== event.input_id)
  else if (event.update.kind === 'permission') {
    const { request_id } = event.update
    if (!talk.untaken.some((input) => input.type === 'permission' && input.request_id === request_id))
      talk.questions.add(request_id)
  } else if (event.update.kind === 'permission_answered') talk.questions.delete(event.update.request_id)
}

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
