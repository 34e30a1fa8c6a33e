export const logLevels = ['debug', 'info', 'warn', 'error'] as const
export type LogLevel = (typeof logLevels)[number]
export const logFormats = ['text', 'json'] as const
export type LogFormat = (typeof logFormats)[number]

/** The things that a line is about, beside its message. */
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
  /** The least that is written. */
  level: LogLevel
  write(line: string): void
  /** In each line that is JSON. */
  fields?: LogFields
}

/**
 * The texts that must not stand in a log, wherever they come from: tokens and sessions of ours, and what follows "Bearer". In a URL
 * an escape (`%2F`) may stand before them.
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

/** A message is for people as it is; its level stands before it where it is no news, and what it is about behind it. */
function textLine(level: LogLevel, msg: string, about: LogFields): string {
  const unsaid = Object.entries(about).filter(
    ([, value]) => value !== undefined && !msg.includes(String(value)),
  )
  const behind = unsaid.map(([name, value]) => ` ${name}=${value}`).join('')
  return `${level === 'info' ? '' : `${level}: `}${msg}${behind}`
}
