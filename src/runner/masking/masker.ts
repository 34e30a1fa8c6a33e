import { MASK, MaskStream } from './mask-stream.ts'
import { PatternMatcher } from './pattern-matcher.ts'
import {
  type LineRule,
  MAX_WHOLE_BYTES,
  MIN_SECRET_BYTES,
  secretBytes,
  secretPatterns,
} from './secret-patterns.ts'

/** Masks one stream of bytes. */
export interface StreamMasker {
  /**
   * Returns the bytes that may be written now, without those that may turn out to be a secret. They can be a part of
   * `bytes` itself.
   */
  push(bytes: Buffer): Buffer
  /** Returns the rest. Nothing is pushed after it. */
  end(): Buffer
  /** Tells whether any of the output so far replaces a secret. */
  readonly hidden: boolean
}

/**
 * Replaces known secrets with `***`. The same secrets and bytes give the same output, however the bytes are cut into
 * chunks. So after a restart, the raw output can be put through a new stream from its first byte, and the masked output
 * has the same bytes at the same offsets. No state of a stream has to be stored.
 */
export interface Masker {
  /** Opens a separate stream; any number may be open. */
  stream(): StreamMasker
  /** Masks a complete text, such as a message. */
  maskText(text: string): string
  /** Masks a truncated text: what may be the beginning of a secret at its end is hidden too. */
  maskBeginning(text: string): string
  /**
   * Masks all texts of a JSON value, including names of fields. Only for free content: if a program depends on a word
   * (`outcome: "success"`), a secret may be that word.
   */
  maskJson<T>(value: T): T
  /** Texts that say which secrets are not masked, or not completely, and why; without their values. */
  readonly warnings: readonly string[]
}

export interface NamedSecret {
  name: string
  value: string
}

const passThrough: StreamMasker = { push: (bytes) => bytes, end: () => Buffer.alloc(0), hidden: false }

export function createMasker(secrets: readonly (string | NamedSecret)[], rule?: LineRule): Masker {
  const warnings: string[] = []
  const patterns: Buffer[] = []
  secrets.forEach((secret, index) => {
    const { name, value } = typeof secret === 'string' ? { name: undefined, value: secret } : secret
    const warning = warningOf(
      name === undefined ? `Secret ${index + 1}` : `Secret "${name}"`,
      secretBytes(value),
    )
    if (warning !== undefined) warnings.push(warning)
    if (secretBytes(value) >= MIN_SECRET_BYTES) patterns.push(...secretPatterns(value, rule))
  })
  if (patterns.length === 0)
    return {
      stream: () => passThrough,
      maskText: (text) => text,
      maskBeginning: (text) => text,
      maskJson: (value) => value,
      warnings,
    }
  const matcher = new PatternMatcher(patterns)
  const stream = () => new MaskStream(matcher)
  const maskText = (text: string) => maskWhole(stream(), text)
  return {
    stream,
    maskText,
    maskBeginning: (text) => maskCut(stream(), text),
    maskJson: (value) => withTexts(value, maskText) as typeof value,
    warnings,
  }
}

function maskWhole(stream: StreamMasker, text: string): string {
  return Buffer.concat([stream.push(Buffer.from(text)), stream.end()]).toString()
}

function maskCut(stream: StreamMasker, text: string): string {
  const sure = stream.push(Buffer.from(text)).toString()
  const held = stream.end().length > 0
  return held && !sure.endsWith(MASK) ? sure + MASK : sure
}

function withTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === 'string') return change(value)
  if (Array.isArray(value)) return value.map((each) => withTexts(each, change))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => [change(name), withTexts(each, change)]),
  )
}

function warningOf(which: string, bytes: number): string | undefined {
  if (bytes < MIN_SECRET_BYTES)
    return `${which} has ${bytes} bytes and is not masked: masking needs at least ${MIN_SECRET_BYTES} bytes. Use a longer secret.`
  if (bytes > MAX_WHOLE_BYTES)
    return `${which} has ${bytes} bytes. Secrets of more than ${MAX_WHOLE_BYTES} bytes are masked only in plain form, not in encoded forms.`
  return undefined
}
