import { Worker } from 'node:worker_threads'
import { ErrandError } from '../../contract/errors.ts'
import { within } from '../../platform/races.ts'

/** Milliseconds that one batch of lines may take. */
const BATCH_MS = 5_000
const WORKER_MB = 128

export interface Pattern {
  text: string
  /** True for a JavaScript regular expression; false for literal text. */
  re: boolean
  /** True if case matters. */
  case: boolean
}

export interface Batch {
  bytes: Uint8Array
  /** Start and end in `bytes` of each block of lines. */
  parts: readonly (readonly [number, number])[]
}

/** A line with the matches in it, in UTF-16 units of its text without control codes. */
export interface Match {
  part: number
  /** Index of the line in the part, from 0. */
  line: number
  text: string
  /** Offset of `text` in the line. */
  textFrom: number
  ranges: [number, number][]
}

/**
 * Looks for a pattern in lines, in a separate thread, so that neither a costly pattern nor much text blocks the hub.
 * Throws `bad_request` for an invalid regular expression, and from `match` for one that takes too long.
 */
export class LineMatcher {
  readonly #worker: Worker
  readonly #source: string

  constructor(pattern: Pattern) {
    const { source, flags } = compiled(pattern)
    this.#source = source
    this.#worker = new Worker(`(${inWorker})()`, {
      eval: true,
      workerData: { source, flags },
      resourceLimits: { maxOldGenerationSizeMb: WORKER_MB },
      // The thread needs nothing from the hub's environment.
      env: {},
      stdout: true,
      stderr: true,
    })
    this.#worker.unref()
    this.#worker.on('error', () => {})
  }

  /**
   * Returns at most `most` matching lines, from the first on or, with `backward`, from the last on. One call at a
   * time.
   */
  match(batch: Batch, most: number, backward = false): Promise<Match[]> {
    const { promise, resolve, reject } = Promise.withResolvers<Match[]>()
    const fail = () => reject(tooCostly(this.#source))
    this.#worker.once('message', resolve)
    this.#worker.once('error', fail)
    this.#worker.once('exit', fail)
    this.#worker.postMessage({ ...batch, most, backward })
    const inTime = within(BATCH_MS, promise, () => {
      throw tooCostly(this.#source)
    })
    return inTime.finally(() => {
      this.#worker.off('message', resolve)
      this.#worker.off('error', fail)
      this.#worker.off('exit', fail)
    })
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#worker.terminate()
  }
}

function compiled({ text, re, case: isCased }: Pattern): { source: string; flags: string } {
  const source = re ? text : text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
  const flags = isCased ? 'g' : 'gi'
  try {
    new RegExp(source, flags)
    return { source, flags }
  } catch (error) {
    const position = brokenAt(source, flags)
    const why = (error as Error).message.replace(/^Invalid regular expression: \/.*\/[a-z]*: /s, '')
    throw new ErrandError('bad_request', `query.q: ${why} at character ${position} of "${text}".`, {
      hint: 'It must be a JavaScript regular expression. To search for the literal text, omit "re".',
      details: { position },
      cause: error,
    })
  }
}

/** Returns the first character, counted from 1, after which the expression can no longer become valid. */
function brokenAt(source: string, flags: string): number {
  const endings = [
    '',
    ')',
    '))',
    ')))',
    ']',
    '])',
    ']))',
    '}',
    '})',
    'a',
    'a)',
    'a]',
    '1}',
    'a>)',
    'a>a)',
    '=a)',
    ':a)',
    '\\',
  ]
  const canGoOn = (begin: string) =>
    endings.some((ending) => {
      try {
        new RegExp(begin + ending, flags)
        return true
      } catch {
        return false
      }
    })
  let good = 0
  while (good < source.length && canGoOn(source.slice(0, good + 1))) good++
  return Math.min(source.length, good + 1)
}

const tooCostly = (source: string) =>
  new ErrandError('bad_request', `query.q: the expression "${source}" takes too long on these lines.`, {
    hint: 'Nested repetitions such as (a+)+ are slow. Write a simpler expression, or search for literal text.',
  })

/** Program of the thread. It is passed as text, so it cannot use anything outside it. */
function inWorker(): void {
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads')
  const expression = new RegExp(workerData.source, workerData.flags)
  // Same as in `web/parts/log/ansi.ts`.
  const codes = /\x1b(?:\[([0-?]*)[ -/]*([@-~])|[\]PX^_][^\x07\x1b]*(?:\x07|\x1b\\)?|[ -/]*[0-~])/g
  const mostText = 1000
  parentPort!.on(
    'message',
    ({ bytes, parts, most, backward }: Batch & { most: number; backward: boolean }) => {
      const all = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
      const found: Match[] = []
      for (let count = 0; count < parts.length && found.length < most; count++) {
        const part = backward ? parts.length - 1 - count : count
        const lines = all.toString('utf8', parts[part]![0], parts[part]![1]).split('\n')
        if (lines.length > 1 && lines.at(-1) === '') lines.pop()
        for (let seen = 0; seen < lines.length && found.length < most; seen++) {
          const line = backward ? lines.length - 1 - seen : seen
          const raw = lines[line]!
          const bare = raw.endsWith('\r') ? raw.slice(0, -1) : raw
          const plain = bare.includes('\x1b') ? bare.replace(codes, '') : bare
          expression.lastIndex = 0
          const ranges: [number, number][] = []
          for (let match = expression.exec(plain); match !== null; match = expression.exec(plain)) {
            ranges.push([match.index, match.index + match[0].length])
            if (ranges.length === 20) break
            if (match[0] === '') expression.lastIndex++
          }
          if (ranges.length === 0) continue
          const textFrom = ranges[0]![0] > mostText - 200 ? ranges[0]![0] - 200 : 0
          found.push({ part, line, ranges, textFrom, text: plain.slice(textFrom, textFrom + mostText) })
        }
      }
      parentPort!.postMessage(found)
    },
  )
}
