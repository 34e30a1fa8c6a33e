import { randomBytes } from 'node:crypto'
import type { RunRecord, RunSummary } from '../../contract/run.ts'
import type { Share } from '../../contract/runs/shares.ts'
import { unlessAborted } from '../../platform/races.ts'
import { isApprover, type Person, shareOf } from '../approvals/approvers.ts'

/** A row of a list as it is now, and whom it is for. */
export interface ChangedRow {
  tenant: string
  owner: string
  /** Whether a user of its tenant may be asked by it, and so reads it. */
  asks(person: Person): boolean
  /** Whether it is shared with a user of its tenant, or was until not long ago; undefined: neither. */
  shared?(person: Person): 'now' | 'before' | undefined
  /** As the list's API has it, as JSON. */
  json: string
}

export interface ChangesOptions {
  /** Undefined: it is gone. */
  read(id: string): Promise<ChangedRow | undefined>
  /** So many changes can be resumed from. */
  kept?: number
  now?: () => number
}

/** A reader that names no place begins so far back, for the list that it has read meanwhile. */
const OVERLAP_MS = 10_000
/** Rows that are read once for all readers. */
const ROWS = 512

/**
 * Which rows of a list (runs, tasks) have changed, in order, as far as this process remembers. Nothing is kept for a reader: each
 * reads on from its own place, at its pace, and what has changed often meanwhile comes once. Places are good until the hub starts anew.
 */
export class Changes {
  readonly #options: ChangesOptions
  readonly #kept: number
  readonly #now: () => number
  readonly #epoch = randomBytes(6).toString('base64url')
  /** The change with number n is at n modulo its length. */
  readonly #ring: { id: string; atMs: number }[] = []
  /** The number of each one's last change, of those in the ring. */
  readonly #latest = new Map<string, number>()
  readonly #rows = new Map<string, { number: number; row: Promise<ChangedRow | undefined> }>()
  #count = 0
  #waiting = Promise.withResolvers<void>()

  constructor(options: ChangesOptions) {
    this.#options = options
    this.#kept = options.kept ?? 8192
    this.#now = options.now ?? (() => performance.now())
  }

  /** After the commit of what has changed. */
  changed(id: string): void {
    const number = this.#count++
    const old = this.#ring[number % this.#kept]
    if (old !== undefined && this.#latest.get(old.id) === number - this.#kept) this.#latest.delete(old.id)
    this.#ring[number % this.#kept] = { id, atMs: this.#now() }
    this.#latest.set(id, number)
    this.#waiting.resolve()
    this.#waiting = Promise.withResolvers()
  }

  /** The place from which the next change is read. */
  get end(): number {
    return this.#count
  }

  /** The place to read from; `reset`: what came after `after` is not known any more, so lists are to be read again. */
  placeOf(after: string | undefined): { place: number; reset: boolean } {
    const oldest = Math.max(0, this.#count - this.#kept)
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

  /** Resolves when there is something after the place, or with the signal. */
  async more(place: number, signal: AbortSignal): Promise<void> {
    if (place < this.#count || signal.aborted) return
    await unlessAborted(signal, this.#waiting.promise, () => undefined)
  }

  /**
   * Those that have changed after the place, each once, in the order of their last change, with the place after each.
   * Undefined: the reader was so slow that some are forgotten.
   */
  after(place: number): { id: string; next: number }[] | undefined {
    if (place < this.#count - this.#kept) return undefined
    const found: { id: string; next: number }[] = []
    for (let number = place; number < this.#count; number++) {
      const { id } = this.#ring[number % this.#kept]!
      if (this.#latest.get(id) === number) found.push({ id, next: number + 1 })
    }
    return found
  }

  /** The row as it is now. Undefined: it is gone. */
  row(id: string): Promise<ChangedRow | undefined> {
    const number = this.#latest.get(id) ?? -1
    const known = this.#rows.get(id)
    if (known !== undefined && known.number === number && number >= 0) return known.row
    const row = this.#options.read(id)
    this.#rows.delete(id)
    this.#rows.set(id, { number, row })
    if (this.#rows.size > ROWS) this.#rows.delete(this.#rows.keys().next().value!)
    // What could not be read is tried again.
    row.catch(() => this.#rows.delete(id))
    return row
  }

  #placeOfOverlap(oldest: number): number {
    const since = this.#now() - OVERLAP_MS
    let place = this.#count
    while (place > oldest && this.#ring[(place - 1) % this.#kept]!.atMs >= since) place--
    return place
  }
}

/** So many runs are remembered of which a share was withdrawn. */
const WITHDRAWN = 2048

/** With whom runs were shared and are no more, as far as this process remembers: their lists are to lose the row. */
export class FormerShares {
  readonly #runs = new Map<string, readonly Share[]>()

  /** Takes note of the shares of a run before a change of them. */
  add(runId: string, shares: readonly Share[] | undefined): void {
    if (shares === undefined || shares.length === 0) return
    const all = [...(this.#runs.get(runId) ?? []), ...shares]
    const each = new Map(all.map((share) => [`${share.user ?? ''}\n${share.role ?? ''}`, share]))
    this.#runs.delete(runId)
    this.#runs.set(runId, [...each.values()])
    if (this.#runs.size > WITHDRAWN) this.#runs.delete(this.#runs.keys().next().value!)
  }
  of(runId: string): readonly Share[] | undefined {
    return this.#runs.get(runId)
  }
}

/** The row of a run in lists: for its owner, admins, those who may answer it, and those with whom it is shared. None of a run that is gone. */
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
