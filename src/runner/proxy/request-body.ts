import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { jsonOf } from '../../platform/text.ts'

export const MOST_REQUEST_BYTES = 32 * 1024 * 1024
const MOST_DEPTH = 500
/**
 * Limit for values in a request; a conversation of a million tokens has a tenth of them. All boxes wait while one
 * request is parsed.
 */
const MOST_VALUES = 250_000
const MOST_FIELDS = 1_000

/** Reads the whole body; returns undefined if it is too long. Rejects if the client leaves before its end. */
export function readBody(request: IncomingMessage, most = MOST_REQUEST_BYTES): Promise<Buffer | undefined> {
  if (Number(request.headers['content-length'] ?? 0) > most) return Promise.resolve(undefined)
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let length = 0
    const gone = () => reject(new Error('The client left before the end of its request.'))
    request.on('data', (part: Buffer) => {
      length += part.length
      if (length <= most) return void parts.push(part)
      request.off('close', gone)
      request.removeAllListeners('data').pause()
      resolve(undefined)
    })
    request.once('error', gone)
    request.once('close', gone)
    request.once('end', () => {
      request.off('close', gone)
      resolve(Buffer.concat(parts))
    })
  })
}

/** Describes a change of one top-level field of a JSON object. */
export interface Edit {
  name: string
  value: unknown
}

/**
 * Holds a JSON object with its original bytes. Unchanged parts are forwarded byte for byte: a service caches by them,
 * and numbers that JavaScript cannot represent stay intact.
 */
export class JsonBody {
  readonly bytes: Buffer
  readonly value: Readonly<Record<string, unknown>>
  readonly #places: ReadonlyMap<string, BodyRange>

  private constructor(bytes: Buffer, value: Record<string, unknown>, places: ReadonlyMap<string, BodyRange>) {
    this.bytes = bytes
    this.value = value
    this.#places = places
  }

  /**
   * Parses bytes; returns what is wrong if they are not a JSON object, or if two readers could understand them
   * differently. If two fields have one name, some readers take the first and others the last; some readers ignore the
   * case of names.
   */
  static read(bytes: Buffer): JsonBody | { wrong: string } {
    const { depth, values, members } = measured(bytes)
    if (depth > MOST_DEPTH) return { wrong: 'the body is nested too deeply' }
    if (values > MOST_VALUES) return { wrong: `the body has more than ${MOST_VALUES} values` }
    const value = isUtf8(bytes) ? jsonOf(bytes.toString()) : undefined
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      return { wrong: 'the body is not a JSON object' }
    if (Object.keys(value).length > MOST_FIELDS)
      return { wrong: `the body has more than ${MOST_FIELDS} fields` }
    const places = new Map<string, BodyRange>()
    const folded = new Set<string>()
    for (const place of topPlaces(bytes)) {
      const fold = foldedName(place.name)
      if (folded.has(fold)) return { wrong: `the body has the field "${place.name}" twice` }
      folded.add(fold)
      places.set(place.name, place)
    }
    if (membersOf(value) !== members) return { wrong: 'an object in the body has the same field twice' }
    return new JsonBody(bytes, value as Record<string, unknown>, places)
  }

  /** Returns the bytes with these fields changed; new fields come before all others. */
  with(edits: readonly Edit[]): Buffer {
    const cuts = edits.map(({ name, value }) => {
      const place = this.#places.get(name)
      const text = JSON.stringify(value)
      if (place !== undefined) return { from: place.from, to: place.to, text }
      const at = this.bytes.indexOf('{') + 1
      return { from: at, to: at, text: `${JSON.stringify(name)}:${text}${this.#places.size > 0 ? ',' : ''}` }
    })
    const parts: Buffer[] = []
    let at = 0
    for (const { from, to, text } of cuts.sort((a, b) => a.from - b.from)) {
      parts.push(this.bytes.subarray(at, from), Buffer.from(text))
      at = to
    }
    return Buffer.concat([...parts, this.bytes.subarray(at)])
  }

  /** Reports whether a field exists under a name that only some readers take for this one. */
  hasOtherSpelling(name: string): boolean {
    return [...this.#places.keys()].some((key) => key !== name && foldedName(key) === foldedName(name))
  }
}

/** Folds a name, so that names that some readers consider the same become equal. */
export const foldedName = (name: string): string => name.normalize('NFKC').toLowerCase()

interface BodyRange {
  name: string
  /** Start of its value, in bytes. */
  from: number
  to: number
}

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COLON = 0x3a
const COMMA = 0x2c
/** Bit that distinguishes `{` from `[`, and `}` from `]`. */
const CASE_BIT = 0x20
const OPENING = 0x7b
const CLOSING = 0x7d
const isBlank = (byte: number | undefined): boolean => byte === 32 || byte === 10 || byte === 13 || byte === 9

/** Returns the top-level fields of bytes that are known to be a JSON object. */
function topPlaces(bytes: Buffer): BodyRange[] {
  const places: BodyRange[] = []
  let at = bytes.indexOf('{') + 1
  const skipBlanks = () => {
    while (isBlank(bytes[at])) at++
  }
  for (skipBlanks(); bytes[at] === QUOTE; skipBlanks()) {
    const end = endOfString(bytes, at)
    const name = JSON.parse(bytes.toString('utf8', at, end)) as string
    at = end
    skipBlanks()
    if (bytes[at] === COLON) at++
    skipBlanks()
    const from = at
    at = endOfValue(bytes, at)
    places.push({ name, from, to: at })
    skipBlanks()
    if (bytes[at] === COMMA) at++
  }
  return places
}

function endOfString(bytes: Buffer, start: number): number {
  for (let at = bytes.indexOf(QUOTE, start + 1); at > 0; at = bytes.indexOf(QUOTE, at + 1)) {
    let slashes = 0
    while (bytes[at - 1 - slashes] === BACKSLASH) slashes++
    if (slashes % 2 === 0) return at + 1
  }
  return bytes.length
}

/** Measures JSON before it is parsed, up to the limits. */
function measured(bytes: Buffer): { depth: number; values: number; members: number } {
  let [depth, deepest, values, members] = [0, 0, 0, 0]
  for (let at = 0; at < bytes.length && values <= MOST_VALUES && depth <= MOST_DEPTH; at++) {
    const byte = bytes[at]!
    if (byte === QUOTE) at = endOfString(bytes, at) - 1
    else if (byte === COMMA) values++
    else if (byte === COLON) members++
    else if ((byte | CASE_BIT) === OPENING) {
      values++
      deepest = Math.max(deepest, ++depth)
    } else if ((byte | CASE_BIT) === CLOSING) depth--
  }
  return { depth: deepest, values, members }
}

/**
 * Counts all parsed fields. The count is lower than in the text if one of two fields with the same name was dropped.
 */
function membersOf(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 0
  const values = Object.values(value)
  const own = Array.isArray(value) ? 0 : values.length
  return values.reduce<number>((sum, each) => sum + membersOf(each), own)
}

function endOfValue(bytes: Buffer, start: number): number {
  if (bytes[start] === QUOTE) return endOfString(bytes, start)
  let depth = 0
  for (let at = start; at < bytes.length; at++) {
    const byte = bytes[at]!
    if (byte === QUOTE) at = endOfString(bytes, at) - 1
    else if ((byte | CASE_BIT) === OPENING) depth++
    else if ((byte | CASE_BIT) === CLOSING) {
      // The end of the object itself.
      if (depth === 0) return at
      if (--depth === 0) return at + 1
    } else if (depth === 0 && (byte === COMMA || isBlank(byte))) return at
  }
  return bytes.length
}
