export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]
export const logFormats = ['text', 'json'] as const
export type LogFormat = (typeof logFormats)[number]

/** The subjects of a line, in addition to its message. */
export interface LogFields {
  run_id?: string
  attempt_id?: string
  runner_id?: string
  [field: string]: string | number | undefined
}

/** Writes one line. `level` is `info` unless given. */
export type Log = (message: string, about?: LogFields & { level?: LogLevel }) => void

export interface LogOptions {
  format: LogFormat
  /** The lowest level that is written. */
  level: LogLevel
  write(line: string): void
  /** Fields added to each JSON line. */
  fields?: LogFields
}

/**
 * Matches texts that must not appear in a log, wherever they come from: Errand's tokens and sessions, and what follows
 * "Bearer". In a URL an escape (`%2F`) may precede them.
 */
const SECRETS = /errand_[a-z]+_[A-Za-z0-9_-]{8,}|eyJ[\w-]{8,}\.[\w-]+\.[\w-]*|(?<=\bBearer(?: |%20))\S{8,}/g

export function createLog({ format, level: least, write, fields }: LogOptions): Log {
  const from = logLevels.indexOf(least)
  return (message, about = {}) => {
    const { level = 'info', ...own } = about
    if (logLevels.indexOf(level) < from) return
    const msg = withoutSecrets(message)
    if (format === 'text') return write(`${textLine(level, msg, fieldsOf(own))}\n`)
    const line = { time: new Date().toISOString(), level, msg, ...fieldsOf({ ...fields, ...own }) }
    write(`${JSON.stringify(line)}\n`)
  }
}

const withoutSecrets = (text: string): string => text.replace(SECRETS, '***')

const fieldsOf = (fields: LogFields): LogFields =>
  Object.fromEntries(
    Object.entries(fields).map(([name, value]) => [
      name,
      typeof value === 'string' ? withoutSecrets(value) : value,
    ]),
  )

/** Formats a line for people: the level (unless it is `info`), the message unchanged, then its fields. */
function textLine(level: LogLevel, msg: string, about: LogFields): string {
  const unsaid = Object.entries(about).filter(
    ([, value]) => value !== undefined && !msg.includes(String(value)),
  )
  const behind = unsaid.map(([name, value]) => ` ${name}=${value}`).join('')
  return `${level === 'info' ? '' : `${level}: `}${msg}${behind}`
}
