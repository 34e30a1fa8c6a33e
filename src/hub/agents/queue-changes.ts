import { randomUUID } from 'node:crypto'
import type { NewInput } from '../../contract/agent.ts'
import type { TakenPrompt } from '../../contract/agent-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { RunEvent } from '../../contract/events.ts'
import type { EngineFace } from '../../engine/api.ts'

type Change = Extract<NewInput, { type: 'queue' }>

/** Milliseconds within which a present runner has answered. */
const ANSWER_MS = 10_000

/**
 * Changes a prompt in the queue of a session, and waits until its runner reports whether that was still possible:
 * only the runner knows what the agent has. The same `input_id` again changes nothing. Throws as `EngineFace.input`
 * does. If the prompt has left the queue, the `conflict` says since when (`TakenPrompt`).
 */
export async function changeQueue(
  engine: EngineFace,
  runId: string,
  change: Change,
  to: Parameters<EngineFace['input']>[2],
  waitMs = ANSWER_MS,
): Promise<{ input_id: string }> {
  const { prompt_id, input_id = randomUUID() } = change
  try {
    await engine.input(runId, { ...change, input_id }, to)
  } catch (error) {
    const late = error instanceof ErrandError && (error.code === 'conflict' || error.code === 'run_ended')
    if (!late) throw error
    const { fate, done } = await readFate(engine, runId, prompt_id, input_id)
    if (done === true) return { input_id }
    throw fate === undefined ? error : taken(fate)
  }
  const { fate, done } = await readFate(engine, runId, prompt_id, input_id, AbortSignal.timeout(waitMs))
  if (done === true) return { input_id }
  if (done === undefined && fate === undefined)
    throw new ErrandError(
      'unavailable',
      `The runner of run ${runId} did not answer within ${waitMs / 1000} s.`,
      {
        hint: 'The change is on its way. It counts if the agent has not taken the prompt by then. The events of the run show the result.',
      },
    )
  throw taken(fate ?? { prompt_id, at: new Date().toISOString() })
}

/**
 * Reads the outcome: `done` is that of the change, and `fate` says when the prompt left the queue. With a signal, it
 * waits for either until the signal aborts.
 */
async function readFate(
  engine: EngineFace,
  runId: string,
  promptId: string,
  changeId: string,
  signal?: AbortSignal,
): Promise<{ fate?: TakenPrompt; done?: boolean }> {
  const record = await engine.get(runId)
  const found: { fate?: TakenPrompt; done?: boolean } = {}
  try {
    for await (const event of engine.watch(runId, 0, signal, { outputBytes: 0 })) {
      if (leaves(event, promptId)) found.fate ??= { prompt_id: promptId, at: event.time }
      if (event.type === 'agent.update' && event.update.kind === 'queue') {
        const { prompt_id, input_id, change, who, done } = event.update
        if (input_id === changeId) return { ...found, done }
        if (prompt_id === promptId && change === 'withdraw' && done)
          found.fate = { prompt_id: promptId, by: who, at: event.time }
      }
      if (signal === undefined && event.seq >= (record?.last_seq ?? 0)) break
    }
  } catch (error) {
    if (signal?.aborted !== true) throw error
  }
  return found
}

const leaves = (event: RunEvent, promptId: string): boolean =>
  ((event.type === 'input.taken' || event.type === 'input.dropped' || event.type === 'input.passed_on') &&
    event.input_id === promptId) ||
  (event.type === 'agent.update' && event.update.kind === 'prompt' && event.update.input_id === promptId)

const taken = (fate: TakenPrompt) =>
  new ErrandError(
    'conflict',
    fate.by === undefined
      ? `The prompt "${fate.prompt_id}" is no longer in the queue: it was taken at ${fate.at}.`
      : `The prompt "${fate.prompt_id}" is no longer in the queue: ${fate.by} withdrew it at ${fate.at}.`,
    {
      hint: 'Give another prompt, or stop the turn if the agent should not continue with this one.',
      details: fate,
    },
  )
