import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

/** How long one run of a test file took. */
export interface Duration {
  /** Milliseconds from the start of its process to the end of the last process that it started. */
  wallMs: number
  /** Milliseconds of processor time of its processes; undefined where the file did not report it. */
  cpuMs?: number
}

/** A file takes another time when a service is missing and some of its tests are skipped, and at full sizes. */
export type Variant = 'usual' | 'skipping' | 'large'

const variants: readonly Variant[] = ['usual', 'skipping', 'large']
/** The format. A file of another one is ignored and replaced. */
const VERSION = 1
/** The copy in the checkout, which orders the first run on a machine. */
const CHECKED_IN = 'scripts/test-durations.json'
const CACHED = '.cache/errand-test/durations.json'

type Entry = Partial<Record<Variant, Duration>>

/** The durations of the test files, as they were in the last run of each on this machine, else in the checked-in copy. */
export class Durations {
  readonly #entries = new Map<string, Entry>()
  readonly #cache: string
  readonly #changed = new Map<string, Entry>()
  readonly #lastPassedRead: string | undefined
  /** The last commit whose tests all passed on this machine. */
  lastPassed: string | undefined

  constructor(root: string, cache = join(homedir(), CACHED)) {
    this.#cache = cache
    for (const path of [join(root, CHECKED_IN), cache]) {
      const { entries, lastPassed } = readRecord(path)
      for (const [file, entry] of entries) this.#entries.set(file, { ...this.#entries.get(file), ...entry })
      this.lastPassed = lastPassed
    }
    this.#lastPassedRead = this.lastPassed
  }

  /** Returns the duration of this variant, else of the usual one; undefined for a file that is new. */
  of(file: string, variant: Variant): Duration | undefined {
    const entry = this.#entries.get(file)
    return entry?.[variant] ?? entry?.usual
  }

  /** Keeps the earlier duration where the file took longer for about the same processor time: the machine was busy then. */
  record(file: string, variant: Variant, measured: Duration): void {
    const before = this.#entries.get(file)?.[variant]
    const duration = before !== undefined && isOfBusyMachine(measured, before) ? before : measured
    this.#changed.set(file, { ...this.#changed.get(file), [variant]: duration })
    this.#entries.set(file, { ...this.#entries.get(file), [variant]: duration })
  }

  /** Adds what was recorded to the file in the user's cache folder. Another run may have written to it meanwhile. */
  save(exists: (file: string) => boolean): void {
    const { entries, lastPassed } = readRecord(this.#cache)
    const passed =
      this.lastPassed === this.#lastPassedRead ? (lastPassed ?? this.lastPassed) : this.lastPassed
    for (const [file, entry] of this.#changed) entries.set(file, { ...entries.get(file), ...entry })
    const kept = [...entries].filter(([file]) => exists(file)).sort(([a], [b]) => (a < b ? -1 : 1))
    const lines = kept.map(([file, entry]) => `${JSON.stringify(file)}: ${JSON.stringify(written(entry))}`)
    const head = JSON.stringify({ version: VERSION, last_passed: passed }).slice(0, -1)
    const text = `${head},"files":{\n${lines.join(',\n')}\n}}\n`
    mkdirSync(dirname(this.#cache), { recursive: true })
    const part = `${this.#cache}.${process.pid}`
    writeFileSync(part, text)
    renameSync(part, this.#cache)
  }
}

/** How much more processor time the same work takes on a busy machine, at most. */
const BUSY_CPU = 1.5

/** A weight taken from such a duration would be too small, and the next run would begin too many files at once. */
const isOfBusyMachine = (measured: Duration, before: Duration): boolean =>
  measured.cpuMs !== undefined &&
  before.cpuMs !== undefined &&
  measured.wallMs > before.wallMs &&
  measured.cpuMs < before.cpuMs * BUSY_CPU

const written = (entry: Entry) =>
  Object.fromEntries(
    variants.flatMap((variant) => {
      const duration = entry[variant]
      if (duration === undefined) return []
      const { wallMs, cpuMs } = duration
      return [[variant, [wallMs, ...(cpuMs === undefined ? [] : [cpuMs])].map(Math.round)]]
    }),
  )

/** A file that is missing, damaged or of another version counts as empty; so does an entry that is not as written. */
function readRecord(path: string): { entries: Map<string, Entry>; lastPassed?: string } {
  try {
    const read = JSON.parse(readFileSync(path, 'utf8'))
    if (read.version !== VERSION) return { entries: new Map() }
    const entries = new Map(Object.entries(read.files).map(([file, value]) => [file, readEntry(value)]))
    return { entries, ...(typeof read.last_passed === 'string' && { lastPassed: read.last_passed }) }
  } catch {
    return { entries: new Map() }
  }
}

function readEntry(value: unknown): Entry {
  if (typeof value !== 'object' || value === null) return {}
  const found = variants.flatMap((variant): [Variant, Duration][] => {
    const figures: unknown = (value as Record<string, unknown>)[variant]
    if (!Array.isArray(figures) || !figures.every((ms) => Number.isFinite(ms) && ms >= 0)) return []
    const [wallMs, cpuMs] = figures as number[]
    if (wallMs === undefined) return []
    return [[variant, { wallMs, ...(cpuMs !== undefined && { cpuMs }) }]]
  })
  return Object.fromEntries(found)
}
