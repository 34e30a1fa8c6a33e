import { ErrandError, type ErrorCode } from '../../contract/errors.ts'
import { PROTOCOL_VERSION, RunnerFrame } from '../../contract/protocol.ts'

/** Reads a text frame; throws an `ErrandError` that says what is wrong with it. */
export function parseRunnerFrame(text: string): RunnerFrame {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ErrandError('bad_request', 'A text frame is no JSON.', { cause })
  }
  const { type, protocol } = (value ?? {}) as { type?: unknown; protocol?: unknown }
  // Before the rest: what else another version says may look different.
  if (type === 'hello' && protocol !== PROTOCOL_VERSION)
    throw new ErrandError(
      'protocol_mismatch',
      `The runner speaks protocol ${nameOf(protocol)}, this hub speaks ${PROTOCOL_VERSION}. Install the same version of Errand on both.`,
    )
  const parsed = RunnerFrame.safeParse(value)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new ErrandError(
    // A runner's name for itself is the same the next time.
    type === 'hello' ? 'invalid_argument' : 'bad_request',
    `A frame of type ${nameOf(type)} is wrong at "${issue?.path.join('.')}": ${issue?.message}`,
    { cause: parsed.error },
  )
}

/** Of what anything may have been sent for: a text of that would be as large, and of what is nested deep there is none. */
function nameOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 100))
  return value === null || typeof value !== 'object'
    ? String(value)
    : `that is no name but ${Array.isArray(value) ? 'a list' : 'an object'}`
}

/** The same runner would say the same the next time. */
export const isForGood = (code: ErrorCode): boolean =>
  code === 'protocol_mismatch' || code === 'invalid_argument'
