import { setting } from '../config/read-setting.ts'
import { createLog, type Log, type LogFields } from '../platform/log.ts'

/** Resolves at the first of these signals; a second one ends the process at once. */
export function untilSignal(
  signals: readonly NodeJS.Signals[] = ['SIGINT', 'SIGTERM', 'SIGHUP'],
): Promise<void> {
  return new Promise((resolve) => {
    const onSignal = (): void => {
      for (const signal of signals) process.off(signal, onSignal)
      resolve()
    }
    for (const signal of signals) process.on(signal, onSignal)
  })
}

/** Creates the log of a long-running program: on stderr, as the environment sets it. Throws `invalid_argument`. */
export const programLog = (fields?: LogFields): Log =>
  createLog({
    format: setting(process.env, 'ERRAND_LOG_FORMAT'),
    level: setting(process.env, 'ERRAND_LOG_LEVEL'),
    write: (line) => void process.stderr.write(line),
    fields,
  })
