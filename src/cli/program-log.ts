import { setting } from '../config/read-setting.ts'
import { createLog, type Log, type LogFields } from '../platform/log.ts'

/** The log of a program that goes on for long: on standard error, as the environment says. Throws `invalid_argument`. */
export const programLog = (fields?: LogFields): Log =>
  createLog({
    format: setting(process.env, 'ERRAND_LOG_FORMAT'),
    level: setting(process.env, 'ERRAND_LOG_LEVEL'),
    write: (line) => void process.stderr.write(line),
    fields,
  })
