import { ErrandError } from '../../contract/errors.ts'
import type { Ending } from '../attempts/outcome.ts'
import { ImageError } from './bot-container.ts'
import { imageReasons } from './images/ports.ts'
import { EngineLost } from './patience.ts'

/** The ending of an attempt by an error. `phase`: what was told of its image last. */
export function failureEnding(error: unknown, phase: string | undefined): Ending {
  if (error instanceof EngineLost) return { type: 'lost', why: error.message }
  const { cause: source = error } = error as { cause?: unknown }
  if (error instanceof ImageError) {
    const code = source instanceof ErrandError ? source.code : ''
    const reason = imageReasons[code] ?? (phase === 'pulling' ? 'pull_failed' : undefined)
    if (reason) return { type: 'action_failed', reason, message: told(source) }
    return { type: 'start_failed', message: told(source) }
  }
  if (error instanceof ErrandError && error.code === 'invalid_argument')
    return { type: 'action_failed', reason: 'invalid_argument', message: told(error) }
  return { type: 'start_failed', message: told(error) }
}

function told(error: unknown): string {
  const { message, hint } = error as ErrandError
  return hint === undefined ? message : `${message} ${hint}`
}
