import { randomBytes } from 'node:crypto'
import type { RunRecord, RunSummary } from '../../contract/run.ts'
import type { Share } from '../../contract/runs/shares.ts'
import { BoundedMap } from '../../platform/bounded-map.ts'
import { unlessAborted } from '../../platform/races.ts'
import { isApprover, type Person, shareOf } from '../approvals/approvers.ts'

/** A row of a list with its current content, and who may see it. */
export interface ChangedRow {
  tenant: string
  owner: string
  /** Reports whether the row may ask this user of its tenant a question, and so is visible to the user. */
  asks(person: Person): boolean
  /** Reports whether the row is shared with this user of its tenant, or was until recently; undefined for neither. */
  shared?(person: Person): 'now' | 'before' | undefined
  /** The row as the list's API returns it, as JSON. */
  json: string
}

export interface ChangesOptions {
  /** Returns the row, or undefined if it is gone. */
  read(id: string): Promise<ChangedRow | undefined>
  /** Number of changes that can be resumed from. */
  kept?: number
  now?: () => number
}

/** Milliseconds that a reader without a place starts back, for the time in which it has read the list. */
const OVERLAP_MS = 10_000
/** Number of rows that are cached for all readers. */
const ROWS = 512

/**
 * Tracks which rows of a list (runs, tasks) have changed, in order, as far as this process remembers. Nothing is
 * stored per reader. Each reader continues from its own place at its own pace, and gets a row that changed several
 * times only once. Places are valid until the hub restarts.
 */
export class Changes {
  readonly #options: ChangesOptions
  readonly #limit: number
  readonly #now: () => number
  readonly #epoch = randomBytes(6).toString('base64url')
  /** Ring buffer: the change with number n is at n modulo its length. */
  readonly #ring: { id: string; atMs: number }[] = []
  /** Number of each row's last change in the ring. */
  readonly #latest = new Map<string, number>()
  readonly #rows = new BoundedMap<string, { number: number; row: Promise<ChangedRow | undefined> }>(ROWS)
  #count = 0
  #waiting = Promise.withResolvers<void>()

  constructor(options: ChangesOptions) {
    this.#options = options
    this.#limit = options.kept ?? 8192
    this.#now = options.now ?? (() => performance.now())
  }

  /** Notes a change. Call it after the commit. */
  changed(id: string): void {
    const number = this.#count++
    const old = this.#ring[number % this.#limit]
    if (old !== undefined && this.#latest.get(old.id) === number - this.#limit) this.#latest.delete(old.id)
    this.#ring[number % this.#limit] = { id, atMs: this.#now() }
    this.#latest.set(id, number)
    this.#waiting.resolve()
    this.#waiting = Promise.withResolvers()
  }

  /** The place of the next change. */
  get end(): number {
    return this.#count
  }

  /**
   * Returns the place to read from. `reset` means that the changes after `after` are no longer known, so the lists
   * must be read again.
   */
  placeOf(after: string | undefined): { place: number; reset: boolean } {
    const oldest = Math.max(0, this.#count - this.#limit)
    if (after === undefined) return { place: this.#placeOfOverlap(oldest), reset: false }
    const [epoch, text] = after.split('.')
    const place = /^\d+$/.test(text ?? '') ? Number(text) : -1
    if (epoch !== this.#epoch || place < oldest || place > this.#count)
      return { place: this.#count, reset: true }
    return { place, reset: false }
  }

  cursorOf(place: number): string {
    return `${this.#epoch}.${place}`
  }

  /** Resolves when there is a change after the place, or when the signal aborts. */
  async more(place: number, signal: AbortSignal): Promise<void> {
    if (place < this.#count || signal.aborted) return
    await unlessAborted(signal, this.#waiting.promise, () => undefined)
  }

  /**
   * Returns the rows that have changed after the place, each once, ordered by their last change, with the place after
   * each. Returns undefined if the reader was so slow that some changes are lost.
   */
  after(place: number): { id: string; next: number }[] | undefined {
    if (place < this.#count - this.#limit) return undefined
    const found: { id: string; next: number }[] = []
    for (let number = place; number < this.#count; number++) {
      const { id } = this.#ring[number % this.#limit]!
      if (this.#latest.get(id) === number) found.push({ id, next: number + 1 })
    }
    return found
  }

  /** Returns the current row, or undefined if it is gone. */
  row(id: string): Promise<ChangedRow | undefined> {
    const number = this.#latest.get(id) ?? -1
    const known = this.#rows.get(id)
    if (known !== undefined && known.number === number && number >= 0) return known.row
    const row = this.#options.read(id)
    this.#rows.set(id, { number, row })
    // A failed read is not cached.
    row.catch(() => this.#rows.delete(id))
    return row
  }

  #placeOfOverlap(oldest: number): number {
    const since = this.#now() - OVERLAP_MS
    let place = this.#count
    while (place > oldest && this.#ring[(place - 1) % this.#limit]!.atMs >= since) place--
    return place
  }
}

/** Number of runs with a withdrawn share that are remembered. */
const WITHDRAWN = 2048

/** Remembers, within this process, with whom runs are no longer shared: the lists of those users must drop the row. */
export class FormerShares {
  readonly #runs = new BoundedMap<string, readonly Share[]>(WITHDRAWN)

  /** Notes the shares of a run before they change. */
  add(runId: string, shares: readonly Share[] | undefined): void {
    if (shares === undefined || shares.length === 0) return
    const all = [...(this.#runs.get(runId) ?? []), ...shares]
    const each = new Map(all.map((share) => [`${share.user ?? ''}\n${share.role ?? ''}`, share]))
    this.#runs.set(runId, [...each.values()])
  }
  of(runId: string): readonly Share[] | undefined {
    return this.#runs.get(runId)
  }
}

/**
 * Returns the row of a run in lists, for its owner, admins, those who may answer it, and those with whom it is
 * shared. Undefined if the run is gone.
 */
export function rowOfRun(
  record: RunRecord | undefined,
  summary: (record: RunRecord) => RunSummary,
  former?: readonly Share[],
): ChangedRow | undefined {
  if (record === undefined) return undefined
  const { tenant, owner, workflow, shares } = record
  return {
    tenant,
    owner,
    asks: (person) => isApprover({ workflow, owner }, person),
    shared: (person) =>
      person.name === owner
        ? undefined
        : shareOf({ shares }, person)
          ? 'now'
          : shareOf({ shares: former }, person) && 'before',
    json: JSON.stringify(summary(record)),
  }
}
