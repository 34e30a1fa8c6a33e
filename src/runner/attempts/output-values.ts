import type { AttemptSpec, StreamName } from '../../contract/attempt.ts'
import { type OutputSource, outputRegex } from '../../contract/workflow.ts'
import { TimeGuard } from '../../platform/untrusted-input.ts'

/** Limit for a value in bytes; a longer one is cut, with its size and a reference beside it. */
export const MAX_VALUE_BYTES = 64 * 1024
/** Bytes of a stream that `json` and `regex` search. */
const MAX_SEARCHED_BYTES = 4 * 1024 * 1024

type Source = Exclude<OutputSource, string>
/** Names a value that an agent's attempt reports beside its streams. */
export type OutputValue = 'answer' | 'files' | 'value'

const isStream = (from: Source['from']): from is StreamName => from === 'stdout' || from === 'stderr'

/** Extracts the values of a step's `outputs` from its streams and exit code. */
export class OutputValues {
  readonly #sources: readonly (readonly [string, Source])[]
  readonly #attemptId: string
  readonly #values = new Map<OutputValue, string>()
  readonly #heads = new Map<StreamName, { parts: Buffer[]; kept: number; limit: number; length: number }>()

  constructor(spec: Pick<AttemptSpec, 'attempt_id' | 'outputs'>) {
    this.#attemptId = spec.attempt_id
    this.#sources = Object.entries(spec.outputs ?? {}).map(([name, source]) => [
      name,
      typeof source === 'string' ? { from: source } : source,
    ])
    for (const [, { from, json, regex }] of this.#sources) {
      if (!isStream(from)) continue
      const head = this.#heads.get(from) ?? { parts: [], kept: 0, limit: 0, length: 0 }
      // Two bytes more than a value, so that a newline at its end does not make it too long.
      head.limit = Math.max(head.limit, json || regex ? MAX_SEARCHED_BYTES : MAX_VALUE_BYTES + 2)
      this.#heads.set(from, head)
    }
  }

  needs(from: Source['from']): boolean {
    return this.#sources.some(([, source]) => source.from === from)
  }

  set(what: OutputValue, text: string): void {
    this.#values.set(what, text)
  }

  push(stream: StreamName, chunk: Buffer): void {
    const head = this.#heads.get(stream)
    if (head === undefined) return
    head.length += chunk.length
    if (head.kept === head.limit) return
    const part = Buffer.from(chunk.subarray(0, head.limit - head.kept))
    head.parts.push(part)
    head.kept += part.length
  }

  /** Returns the values; `unset` says which outputs have no value, and why. */
  evaluate(exitCode: number | undefined): { values: [string, string][]; unset: string[] } {
    const values: [string, string][] = []
    const unset: string[] = []
    for (const [name, source] of this.#sources) {
      try {
        values.push(...this.#value(name, source, exitCode))
      } catch (error) {
        if (source.default !== undefined) values.push([name, source.default])
        else unset.push(`Output ${name} was not set: ${(error as Error).message}.`)
      }
    }
    return { values, unset }
  }

  #value(name: string, source: Source, exitCode: number | undefined): [string, string][] {
    if (source.from === 'exit_code') {
      if (exitCode === undefined) throw new Error('there is no exit code')
      return [[name, select(String(exitCode), source)]]
    }
    if (!isStream(source.from)) return this.#reportedValue(name, source, source.from)
    const head = this.#heads.get(source.from)!
    const bytes = Buffer.concat(head.parts)
    if (source.json !== undefined && head.length > head.limit)
      throw new Error(`${source.from} is larger than ${MAX_SEARCHED_BYTES} bytes, the limit for JSON`)
    const whole = trimNewline(bytes)
    const searched = source.json !== undefined || source.regex !== undefined
    const text = searched ? Buffer.from(select(whole.toString('utf8'), source)) : whole
    if (text.length <= MAX_VALUE_BYTES && (searched || head.length <= head.kept))
      return [[name, text.toString('utf8')]]
    return [
      [name, cut(text)],
      [`${name}_SIZE`, String(searched ? text.length : head.length)],
      [`${name}_REF`, `${this.#attemptId}/${source.from}`],
    ]
  }

  #reportedValue(name: string, source: Source, from: OutputValue): [string, string][] {
    const reported = this.#values.get(from)
    if (reported === undefined) throw new Error(`there is no ${from}: only the step of an agent has one`)
    const text = Buffer.from(select(reported, source))
    if (text.length <= MAX_VALUE_BYTES) return [[name, text.toString('utf8')]]
    return [
      [name, cut(text)],
      [`${name}_SIZE`, String(text.length)],
    ]
  }
}

const cut = (text: Buffer) => text.toString('utf8', 0, characterEnd(text, MAX_VALUE_BYTES))

function select(text: string, { json, regex }: Source): string {
  let found = text
  if (json !== undefined) found = atPath(found, json)
  if (regex !== undefined) {
    const pattern = outputRegex(regex)
    const searched = found
    // An endless match would block everything that this machine runs, and again after each restart.
    const match = new TimeGuard().run(() => pattern.exec(searched))
    if (match === null) throw new Error(`nothing matches /${regex}/`)
    found = match[1] ?? match[0]
  }
  return found
}

function atPath(text: string, path: string): string {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch (error) {
    throw new Error(`it is not valid JSON (${(error as Error).message})`)
  }
  // `a[0].b` is read as `a.0.b`; other tools write a leading dot or `$.`.
  const keys = path
    .replace(/^\$?\.?/, '')
    .replace(/\[(\d+)\]/g, '.$1')
    .split('.')
    .filter((key) => key !== '')
  for (const key of keys) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, key))
      throw new Error(`its JSON has nothing at ${path}`)
    value = (value as Record<string, unknown>)[key]
  }
  return typeof value === 'string' ? value : JSON.stringify(value)
}

function trimNewline(bytes: Buffer): Buffer {
  if (bytes.at(-1) !== 10) return bytes
  return bytes.subarray(0, bytes.at(-2) === 13 ? -2 : -1)
}

/** Returns the last place at or before `at` that does not cut a UTF-8 character. */
function characterEnd(text: Buffer, at: number): number {
  let end = Math.min(at, text.length)
  while (end < text.length && end > at - 4 && (text[end]! & 0xc0) === 0x80) end--
  return end
}
