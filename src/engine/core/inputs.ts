import { randomUUID } from 'node:crypto'
import { MAX_INPUT_BYTES } from '../../contract/actions.ts'
import type { AgentUpdateOf, AttemptInput, NewInput } from '../../contract/agent.ts'
import { attachmentKind } from '../../contract/attachment-kind.ts'
import type { AttemptEnd } from '../../contract/attempt.ts'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import type { EventOf, NewEvent } from '../../contract/events.ts'
import { openPermission } from './list-row.ts'
import type { AttemptState, RunState, Talk } from './state.ts'

export interface InputAddress {
  by?: string
  /** Needed when several attempts of the run take inputs. */
  step?: string | undefined
  /** Number of the attempt. */
  attempt?: number | undefined
}

export interface Addressed {
  attempt: AttemptState
  input: AttemptInput
  /** True when the input was given before; nothing is left to do. */
  known: boolean
}

/** Finds the attempt for an input, without changing anything. Throws `no_input`, `conflict`, `body_too_large`. */
export function addressInput(
  runId: string,
  state: RunState,
  newInput: NewInput,
  to: InputAddress,
): Addressed {
  const input = { ...newInput, input_id: newInput.input_id ?? randomUUID() } as AttemptInput
  if (input.type === 'permission' || input.type === 'queue' || input.type === 'model') input.who = to.by
  if (Buffer.byteLength(JSON.stringify(input)) > MAX_INPUT_BYTES)
    throw new ErrandError('body_too_large', `The prompt is larger than ${MAX_INPUT_BYTES} bytes.`, {
      hint: 'Put the long part into a file, and name the file in the prompt.',
    })
  const taking = state.attempts.filter((attempt) => attempt.talk && !attempt.end)
  const open = taking.filter((attempt) => fits(attempt, to))
  const known = open.find(({ talk }) => talk!.given.has(input.input_id))
  if (known) return { attempt: known, input, known: true }
  if (input.type === 'permission') {
    const questions = asking(runId, open, input)
    checkEdited(questions, input)
    return { attempt: questions, input, known: false }
  }
  if (input.type === 'queue') return { attempt: queueing(runId, open, input), input, known: false }
  const [attempt, other] = open
  if (!attempt) {
    const where = to.step === undefined ? 'No step' : `No attempt of step "${to.step}"`
    throw new ErrandError('no_input', `${where} in run ${runId} accepts a ${wordFor(input)} now.`, {
      hint:
        taking.length > 0
          ? `Accepted by: ${names(taking)}.`
          : 'Only a running agent step does. A step with interactive: true waits for prompts.',
    })
  }
  if (other)
    throw new ErrandError('conflict', `Several steps of run ${runId} accept prompts: ${names(open)}.`, {
      hint: 'Name the step, or give the number of the attempt.',
    })
  if (input.type === 'prompt' && attempt.talk!.closed)
    throw new ErrandError(
      'no_input',
      `Step "${attempt.step}" of run ${runId} was closed and no longer accepts prompts.`,
      {
        hint: `Once it has ended, continue its session: errand agent --continue ${runId} (on a hub, add --hub)`,
      },
    )
  if (input.type === 'prompt') checkTaken(runId, attempt, input)
  if (input.type === 'model') checkModel(runId, attempt, input)
  return { attempt, input, known: false }
}

type InputOf<T extends AttemptInput['type']> = Extract<AttemptInput, { type: T }>

/** Throws `invalid_argument` for an attachment that the agent does not accept, `conflict` while that is unknown. */
function checkTaken(runId: string, { talk }: AttemptState, { attachments = [] }: InputOf<'prompt'>): void {
  if (attachments.length === 0) return
  if (talk!.agent === undefined) throw notBegun(runId, 'which attachments it accepts')
  const { takes } = talk!.agent
  const refused = attachments.find(({ media_type }) => !takes.includes(attachmentKind(media_type)))
  if (refused === undefined) return
  const what = takes.length === 0 ? 'attachments' : `"${refused.name}" (${refused.media_type})`
  throw new ErrandError('invalid_argument', `The agent of run ${runId} does not accept ${what}.`, {
    hint:
      takes.length === 0
        ? 'Put the file where the agent can read it, and name the file in the prompt.'
        : `It accepts: ${takes.join(', ')}. Otherwise put the file where the agent can read it, and name the file in the prompt.`,
  })
}

/** Throws `invalid_argument` for a model that the agent does not offer, `conflict` while that is unknown. */
function checkModel(runId: string, { talk }: AttemptState, { model }: InputOf<'model'>): void {
  if (talk!.agent === undefined) throw notBegun(runId, 'which models it offers')
  const { models } = talk!.agent
  if (models.some(({ id }) => id === model)) return
  throw new ErrandError('invalid_argument', `The agent of run ${runId} cannot be switched to "${model}".`, {
    hint:
      models.length === 0
        ? 'It cannot change its model during a session. Start another session with --model.'
        : `It offers: ${models.map(({ id }) => id).join(', ')}.`,
  })
}

const notBegun = (runId: string, what: string) =>
  new ErrandError('conflict', `The agent of run ${runId} has not started: ${what} is not known yet.`, {
    hint: 'Try again once it has reported its session.',
  })

/** Throws `invalid_argument` when the agent does not accept an edited tool input. */
function checkEdited({ talk }: AttemptState, { request_id, input }: InputOf<'permission'>): void {
  if (input === undefined || talk!.editable.has(request_id)) return
  throw new ErrandError(
    'invalid_argument',
    `The tool input of "${request_id}" cannot be edited: the agent accepts only yes or no.`,
    { hint: 'Deny it, and say in the reason what the agent should do instead.' },
  )
}

/** Finds the attempt that has the prompt in its queue. Throws `conflict` when the agent already has it, `not_found`. */
function queueing(
  runId: string,
  open: readonly AttemptState[],
  { prompt_id }: InputOf<'queue'>,
): AttemptState {
  const isPrompt = (input: AttemptInput) => input.type === 'prompt' && input.input_id === prompt_id
  const found = open.find(({ talk }) => talk!.untaken.some(isPrompt))
  if (found) return found
  const was = open.some(({ talk }) => talk!.given.has(prompt_id)) || prompt_id === 'first'
  throw new ErrandError(
    was ? 'conflict' : 'not_found',
    was
      ? `Prompt "${prompt_id}" is no longer in the queue of run ${runId}.`
      : `Prompt "${prompt_id}" is not in the queue of run ${runId}.`,
    { hint: 'The events of the run show each prompt that was given, and each that the agent received.' },
  )
}

const names = (attempts: readonly AttemptState[]) =>
  attempts.map(({ step, host }) => `"${step}" on ${host}`).join(', ')

const fits = (attempt: AttemptState, to: InputAddress) =>
  (to.step === undefined || to.step === attempt.step) &&
  (to.attempt === undefined || to.attempt === attempt.number)

function asking(runId: string, open: readonly AttemptState[], { request_id }: { request_id: string }) {
  const found = open.find(({ talk }) => talk!.questions.has(request_id))
  if (found) return found
  const waiting = open.flatMap(({ talk }) => [...talk!.questions.keys()])
  throw new ErrandError('conflict', `No step of run ${runId} waits for an answer to "${request_id}".`, {
    hint: waiting.length > 0 ? `Waiting: ${waiting.join(', ')}.` : 'It was answered, or it expired.',
  })
}

const wordFor = ({ type }: AttemptInput) => (type === 'prompt' ? 'prompt' : `"${type}"`)

export const freshTalk = (): Talk => ({
  given: new Set(),
  untaken: [],
  questions: new Map(),
  editable: new Set(),
  closed: false,
})

/** Folds what became of a prompt that came too late. */
export function foldLate(
  attempt: AttemptState,
  event: EventOf<'input.passed_on'> | EventOf<'input.dropped'>,
): void {
  const { input_id } = event
  const run_id = event.type === 'input.passed_on' ? event.run_id : undefined
  attempt.late = [...(attempt.late ?? []), { input_id, run_id }]
}

const isAPrompt = ({ type }: AttemptInput) => type === 'prompt'

/** Folds what was said to an agent and by it. */
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
    const first = input.type === 'prompt' && input.now ? talk.untaken.findIndex(isAPrompt) : -1
    if (first < 0) talk.untaken.push(input)
    else talk.untaken.splice(first, 0, input)
    if (input.type === 'permission') talk.questions.delete(input.request_id)
    if (input.type === 'close') talk.closed = true
    return
  }
  if (event.type === 'input.taken')
    talk.untaken = talk.untaken.filter((input) => input.input_id !== event.input_id)
  else if (event.update.kind === 'permission') {
    const { request_id, editable } = event.update
    if (editable) talk.editable.add(request_id)
    if (!talk.untaken.some((input) => input.type === 'permission' && input.request_id === request_id))
      talk.questions.set(request_id, openPermission(event.update))
  } else if (event.update.kind === 'permission_answered') {
    talk.questions.delete(event.update.request_id)
    talk.editable.delete(event.update.request_id)
  } else if (event.update.kind === 'queue') foldQueue(talk, event.update)
  else if (event.update.kind === 'session' && event.update.origin !== 'same')
    talk.agent = { takes: event.update.takes ?? [], models: event.update.models ?? [] }
}

/** Folds the result of a change to the queue. */
function foldQueue(talk: Talk, { prompt_id, change, text, done }: AgentUpdateOf<'queue'>): void {
  const at = talk.untaken.findIndex(({ type, input_id }) => type === 'prompt' && input_id === prompt_id)
  const prompt = talk.untaken[at]
  if (!done || prompt?.type !== 'prompt') return
  if (change === 'edit') talk.untaken[at] = { ...prompt, text: text ?? prompt.text }
  else if (change === 'withdraw') talk.untaken.splice(at, 1)
  else {
    const before = talk.untaken.findLastIndex(({ type }, index) => index < at && type === 'prompt')
    if (before < 0) return
    talk.untaken.splice(at, 1)
    talk.untaken.splice(before, 0, prompt)
  }
}

/** The type of `EngineOptions.passOn`. */
export type PassOn = (runId: string, inputIds: readonly string[]) => Promise<string[]>

/** The fate of a prompt that came too late. */
export type Late = { input_id: string } & ({ run_id: string } | { message: string })

/** Returns the ids of the prompts that were given to an attempt and that it has not taken, oldest first. */
export const untakenPrompts = ({ talk }: AttemptState): string[] =>
  talk?.untaken.flatMap(({ type, input_id }) => (type === 'prompt' ? [input_id] : [])) ?? []

/**
 * Finds a run for each prompt that an ending attempt has not taken. An attempt that was stopped or failed passes none
 * on: a person must decide whether to continue. Throws errors that may go away later.
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
