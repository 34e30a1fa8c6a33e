import { logEnvironment } from '../dialects/environment.ts'
import { createLog, type Log, type LogFields } from '../platform/log.ts'

/** The log of a program that goes on for long: on standard error, as the environment says. Throws `invalid_argument`. */
export const programLog = (fields?: LogFields): Log =>
  createLog({ ...logEnvironment(process.env), write: (line) => void process.stderr.write(line), fields })
