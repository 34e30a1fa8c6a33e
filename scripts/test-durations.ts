import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'

/** Describes how long one run of a test file took. */
export interface Duration {
  /** Milliseconds from the start of its process to the end of the last process that it started. */
  wallMs: number
  /** Milliseconds of processor time of its processes; undefined if the file did not report it. */
  cpuMs?: number
}

/** Names a kind of run. A file takes another time if a service is missing and tests are skipped, or at full size. */
export type Variant = 'usual' | 'skipping' | 'large'

const variants: readonly Variant[] = ['usual', 'skipping', 'large']
/** Version of the format. A file of another version is ignored and replaced. */
const VERSION = 1
/** The copy in the checkout, which orders the first run on a machine. */
const CHECKED_IN = 'scripts/test-durations.json'
const CACHED = '.cache/errand-test/durations.json'

type Entry = Partial<Record<Variant, Duration>>

/** Stores the duration of each test file in its last run on this machine, or else that of the checked-in copy. */
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

  /** Returns the duration of this variant, or else of the usual one; undefined for a new file. */
  of(file: string, variant: Variant): Duration | undefined {
    const entry = this.#entries.get(file)
    return entry?.[variant] ?? entry?.usual
  }

  /** Records a duration, but keeps the earlier one if only the wall time is longer: the machine was busy then. */
  record(file: string, variant: Variant, measured: Duration): void {
    const before = this.#entries.get(file)?.[variant]
    const duration = before !== undefined && isOfBusyMachine(measured, before) ? before : measured
    this.#changed.set(file, { ...this.#changed.get(file), [variant]: duration })
    this.#entries.set(file, { ...this.#entries.get(file), [variant]: duration })
  }

  /** Adds the recorded durations to the file in the user's cache folder. Another run may have changed it meanwhile. */
  save(exists: (file: string) => boolean): void {
    const { entries, lastPassed } = readRecord(this.#cache)
    const passed =
      this.lastPassed === this.#lastPassedRead ? (lastPassed ?? this.lastPassed) : this.lastPassed
    for (const [file, entry] of this.#changed) entries.set(file, { ...entries.get(file), ...entry })
    const existing = [...entries].filter(([file]) => exists(file)).sort(([a], [b]) => (a < b ? -1 : 1))
    const lines = existing.map(
      ([file, entry]) => `${JSON.stringify(file)}: ${JSON.stringify(written(entry))}`,
    )
    const head = JSON.stringify({ version: VERSION, last_passed: passed }).slice(0, -1)
    const text = `${head},"files":{\n${lines.join(',\n')}\n}}\n`
    mkdirSync(dirname(this.#cache), { recursive: true })
    const part = `${this.#cache}.${process.pid}`
    writeFileSync(part, text)
    renameSync(part, this.#cache)
  }
}

/** Most processor time that the same work takes on a busy machine, as a factor. */
const BUSY_CPU = 1.5

/** Reports whether the machine was busy: such a duration gives too small a weight, so that too many files start. */
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

/** Reads a file of durations. A missing, damaged or other-version file counts as empty; so does an invalid entry. */
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
