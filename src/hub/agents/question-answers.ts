import type { AttemptInput, NewInput } from '../../contract/agent.ts'
import type { AnsweredQuestion } from '../../contract/agent-api.ts'
import { ErrandError } from '../../contract/errors.ts'
import type { EngineFace } from '../../engine/api.ts'

type Answer = Extract<NewInput, { type: 'permission' }>
type PermissionInput = Extract<AttemptInput, { type: 'permission' }>

/** Error codes that refuse an answer because it is late. */
const LATE: ReadonlySet<string> = new Set(['conflict', 'run_ended', 'no_input'])

/**
 * Answers a question of an agent, which takes only one answer. The same `input_id` again changes nothing, even after
 * the end. Throws as `EngineFace.input` does. If the question is answered already, the `conflict` says by whom, how
 * and when (`AnsweredQuestion`).
 */
export async function answerQuestion(
  engine: EngineFace,
  runId: string,
  answer: Answer,
  to: Parameters<EngineFace['input']>[2],
): Promise<{ input_id: string }> {
  try {
    return await engine.input(runId, answer, to)
  } catch (error) {
    if (!(error instanceof ErrandError) || !LATE.has(error.code)) throw error
    const found = await readAnswer(engine, runId, answer.request_id, to?.attempt)
    if (found === undefined) throw error
    if (answer.input_id !== undefined && found.inputId === answer.input_id)
      return { input_id: answer.input_id }
    const { answered } = found
    throw new ErrandError(
      'conflict',
      `The question "${answer.request_id}" was already answered: ${worded(answered)}.`,
      {
        hint: 'Only the first answer to a question counts.',
        details: answered,
      },
    )
  }
}

/**
 * Reads from the log the answer that a question of a run got. A later question, or one of another attempt, may have
 * the same id.
 */
async function readAnswer(
  engine: EngineFace,
  runId: string,
  requestId: string,
  attempt: number | undefined,
): Promise<{ answered: AnsweredQuestion; inputId?: string } | undefined> {
  const record = await engine.get(runId)
  let found: { answered: AnsweredQuestion; inputId?: string } | undefined
  for await (const event of engine.watch(runId, 0, undefined, { outputBytes: 0 })) {
    const isOf = attempt === undefined || ('attempt' in event && event.attempt === attempt)
    if (isOf && event.type === 'input.given' && isFor(event.input, requestId)) {
      const { decision, input_id } = event.input
      const answered = {
        request_id: requestId,
        decision,
        by: event.by,
        cause: 'person' as const,
        at: event.time,
      }
      found = { answered, inputId: input_id }
    } else if (isOf && event.type === 'agent.update') {
      const { update } = event
      if (update.kind === 'permission' && update.request_id === requestId) found = undefined
      // An answer by a person is the input that was given.
      if (update.kind === 'permission_answered' && update.request_id === requestId && update.by !== 'person')
        found = {
          answered: { request_id: requestId, decision: update.decision, cause: update.by, at: event.time },
        }
    }
    if (event.seq >= (record?.last_seq ?? 0)) break
  }
  return found
}

const isFor = (input: AttemptInput, requestId: string): input is PermissionInput =>
  input.type === 'permission' && input.request_id === requestId

const causes = {
  person: 'by a person',
  rule: 'by a rule',
  policy: 'by its permissions',
  timeout: 'because nobody answered in time',
  canceled: 'because the turn ended',
  nobody: 'because nobody could be asked',
}

const worded = ({ decision, by, cause, at }: AnsweredQuestion): string =>
  `${decision === 'allow' ? 'allowed' : 'denied'} at ${at} ${by === undefined ? causes[cause] : `by ${by}`}`
