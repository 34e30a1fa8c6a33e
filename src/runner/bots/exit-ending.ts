import { constants } from 'node:os'
import type { Ending } from '../attempts/outcome.ts'
import type { ContainerLimits } from '../containers/ports.ts'
import { megabytes } from './bot-limits.ts'
import type { Exited } from './restart-policy.ts'

/** How a container came to its end, as the attempt's. `restarts`: how often in a row it was begun again before. */
export function exitEnding(
  exit: Exited,
  limits: ContainerLimits,
  restarts: number,
  unhealthy?: { output?: string },
): Ending {
  const { exitCode: code, oom, error } = exit
  if (error !== undefined)
    return { type: 'start_failed', message: `The container could not be started: ${error}.` }
  const again =
    restarts === 0 ? '' : ` It was restarted ${restarts === 1 ? 'once' : `${restarts} times`} before.`
  if (unhealthy !== undefined)
    return { type: 'action_failed', reason: 'action_failed', message: `${unhealthyText(unhealthy)}.${again}` }
  if (code === 0) return { type: 'exited', code, message: 'It ended by itself.' }
  if (!oom) return { type: 'exited', code, message: `${exitText(exit)}.${again}` }
  const message = `${exitText(exit)}; it may use ${megabytes(limits.memoryBytes)}.${again}`
  return { type: 'exited', code, reason: 'oom', message }
}

/** In a few words, such as `Exit code 3`. */
export function exitText({ exitCode: code, oom }: Exited): string {
  if (oom) return `Out of memory (exit code ${code})`
  const signal = Object.entries(constants.signals).find(([, number]) => number === code - 128)?.[0]
  return signal === undefined ? `Exit code ${code}` : `Killed by ${signal} (exit code ${code})`
}

/** In a few words, with what its last check said. */
export const unhealthyText = ({ output = '' }: { output?: string }): string =>
  `Unhealthy${output === '' ? '' : `: ${output.replace(/\s+/g, ' ').slice(0, 200).replace(/\.$/, '')}`}`
