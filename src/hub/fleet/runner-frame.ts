import { ErrandError, type ErrorCode } from '../../contract/errors.ts'
import {
  commonProtocol,
  OLDEST_PROTOCOL_VERSION,
  PROTOCOL_VERSION,
  RunnerFrame,
} from '../../contract/protocol.ts'

const known: ReadonlySet<unknown> = new Set(
  RunnerFrame.options.flatMap(({ shape }) => [...shape.type.values]),
)

/**
 * Reads a text frame; throws an `ErrandError` that says what is wrong with it. One of a type that only a newer runner
 * knows is answered as its type's name.
 */
export function parseRunnerFrame(text: string): RunnerFrame | string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (cause) {
    throw new ErrandError('bad_request', 'A text frame is no JSON.', { cause })
  }
  const { type, protocol, newest_protocol } = (value ?? {}) as Record<string, unknown>
  // Before the rest: what else another version says may look different.
  if (type === 'hello') needCommonProtocol(protocol, newest_protocol)
  if (typeof type === 'string' && !known.has(type)) return type
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

function needCommonProtocol(oldest: unknown, newest: unknown = oldest): void {
  const numbers = Number.isInteger(oldest) && Number.isInteger(newest)
  const said = { protocol: oldest as number, newest_protocol: newest as number }
  if (numbers && commonProtocol(said) !== undefined) return
  const span = (from: string, to: string) => (from === to ? from : `${from} to ${to}`)
  const here = span(String(OLDEST_PROTOCOL_VERSION), String(PROTOCOL_VERSION))
  const old =
    numbers && said.protocol > PROTOCOL_VERSION ? 'where the hub is' : 'on the machine of the runner'
  throw new ErrandError(
    'protocol_mismatch',
    `The runner speaks protocol ${span(nameOf(oldest), nameOf(newest))}, this hub speaks ${here}. Update Errand ${old}.`,
  )
}

/** Of what anything may have been sent for: a text of that would be as large, and of what is nested deep there is none. */
function nameOf(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 100))
  return value === null || typeof value !== 'object'
    ? String(value)
    : `that is no name but ${Array.isArray(value) ? 'a list' : 'an object'}`
}

/** The same runner would say the same the next time; one of another version waits until one side is updated. */
export const isForGood = (code: ErrorCode): boolean => code === 'invalid_argument'
