import { createHash } from 'node:crypto'
import { mkdirSync, readFileSync, rmdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { ErrandError, messageOf } from '../../contract/errors.ts'
import {
  type ConcurrencyLimiter,
  type Full,
  InProcessLimiter,
} from '../../engine/runtime/concurrency-limiter.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { type Holder, isHolding, type LockResult, takePidLock, thisProcess } from '../../platform/pid-lock.ts'
import { errandHome } from './errand-home.ts'
import { sweepKilled } from './local-run-registry.ts'

/** A run that is in a group, or waits to be, and the process that has it. */
interface Place extends Holder {
  run_id: string
  inside: boolean
}

/** A concurrency group as its file has it: in the order in which the runs came. */
interface Group {
  name: string
  /** That of the run that came last. */
  limit: number
  places: Place[]
}

/** A run of this process that waits. */
interface Waiting {
  timer: NodeJS.Timeout | undefined
  start: () => void
}

/** How often a run that waits looks whether its turn has come: also one whose holder was killed tells nobody. */
const LOOK_MS = 200
/** A change takes a millisecond or two; who takes longer was stopped in the middle of one. */
const LOCK_TRIES = 400
const LOCK_PAUSE_MS = 5
/** Runs that are named to who waits for them. */
const NAMED_HOLDERS = 3

/**
 * The concurrency groups of this user's runs on this machine that no hub has: files in the user's folder, which each process
 * changes under a lock. The place of a process that was killed is free once what it left running is ended.
 */
export class LocalConcurrency implements ConcurrencyLimiter {
  readonly #folder: string
  readonly #sweep: () => Promise<void>
  readonly #me = thisProcess()
  /** The group of each run of this process that has a place. */
  readonly #groupOf = new Map<string, string>()
  readonly #waiting = new Map<string, Waiting>()

  /** Makes the folder; throws what node:fs throws. `sweep` ends what killed commands have left. */
  constructor(folder: string, sweep: () => Promise<void>) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    this.#folder = folder
    this.#sweep = sweep
  }

  enter(name: string, limit: number, runId: string, running: boolean, start: () => void): Full | undefined {
    const { places } = this.#change(name, (group) => {
      group.limit = limit
      group.places.push({ ...this.#me, run_id: runId, inside: running })
    })
    this.#groupOf.set(runId, name)
    const at = places.findIndex((place) => this.#isMine(place, runId))
    if (places[at]!.inside) return undefined
    this.#waiting.set(runId, { timer: undefined, start })
    this.#look(name, runId, 0)
    const inside = places.filter((place) => place.inside)
    const named = inside.slice(0, NAMED_HOLDERS).map(({ run_id, pid }) => `${run_id} of process ${pid}`)
    if (inside.length > named.length) named.push('others')
    return {
      inside: inside.length,
      before: places.slice(0, at).filter((place) => !place.inside).length,
      holders: named.join(', '),
    }
  }

  has(name: string, runId: string): boolean {
    return this.#groupOf.get(runId) === name
  }

  leave(runId: string): void {
    const name = this.#groupOf.get(runId)
    if (name === undefined) return
    this.#groupOf.delete(runId)
    clearTimeout(this.#waiting.get(runId)?.timer)
    this.#waiting.delete(runId)
    try {
      this.#change(name, (group) => {
        group.places = group.places.filter((place) => !this.#isMine(place, runId))
      })
    } catch {
      // Those who wait find the place of a process that has ended.
    }
  }

  close(): void {
    for (const runId of [...this.#groupOf.keys()]) this.leave(runId)
    try {
      rmdirSync(this.#folder)
    } catch {
      // Another process has a run in a group.
    }
  }

  #look(name: string, runId: string, afterMs: number): void {
    const waiting = this.#waiting.get(runId)
    if (!waiting) return
    waiting.timer = setTimeout(() => {
      void this.#mayStart(name, runId)
        // What cannot be read or changed now may be later.
        .catch(() => false)
        .then((may) => {
          if (this.#waiting.get(runId) !== waiting) return
          if (!may) return this.#look(name, runId, LOOK_MS)
          this.#waiting.delete(runId)
          waiting.start()
        })
    }, afterMs)
  }

  async #mayStart(name: string, runId: string): Promise<boolean> {
    const { places } = this.#read(name)
    const mine = places.find((place) => this.#isMine(place, runId))
    if (mine?.inside) return true
    const dead = places.filter((place) => !isHolding(place))
    if (mine && dead.length === 0) return false
    await this.#sweep()
    if (!this.#waiting.has(runId)) return false
    const changed = this.#change(name, (group) => {
      group.places = group.places.filter((place) => !dead.some((one) => isSame(one, place)))
      // Somebody has taken the file away.
      if (!group.places.some((place) => this.#isMine(place, runId)))
        group.places.push({ ...this.#me, run_id: runId, inside: false })
    })
    return changed.places.some((place) => place.inside && this.#isMine(place, runId))
  }

  #isMine(place: Place, run_id: string): boolean {
    return isSame(place, { ...this.#me, run_id })
  }

  /** The group as it is afterwards: who may go in has gone in. */
  #change(name: string, change: (group: Group) => void): Group {
    const file = this.#fileOf(name)
    const release = lock(`${file}.lock`, name)
    try {
      const group = this.#read(name)
      change(group)
      fill(group)
      if (group.places.length === 0) rmSync(file, { force: true })
      else writeFileAtomic(file, JSON.stringify(group), { mode: 0o600, durable: false })
      return group
    } finally {
      release()
    }
  }

  #read(name: string): Group {
    try {
      return JSON.parse(readFileSync(this.#fileOf(name), 'utf8')) as Group
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT' || error instanceof SyntaxError)
        return { name, limit: 1, places: [] }
      throw error
    }
  }

  #fileOf(name: string): string {
    return join(this.#folder, createHash('sha256').update(name).digest('hex').slice(0, 32))
  }
}

const isSame = (a: Omit<Place, 'inside'>, b: Omit<Place, 'inside'>): boolean =>
  a.run_id === b.run_id && a.pid === b.pid && a.started === b.started

/** Lets in those whose turn it is. One that has ended while it waited has left nothing. */
function fill(group: Group): void {
  group.places = group.places.filter((place) => place.inside || isHolding(place))
  let inside = group.places.filter((place) => place.inside).length
  for (const place of group.places)
    if (!place.inside && inside < group.limit) {
      place.inside = true
      inside++
    }
}

/** Waits where it stands: the engine asks for a place while it decides. */
function lock(file: string, name: string): () => void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let tries = 1; ; tries++) {
    const result = takenLock(file)
    if (result === undefined) continue
    if ('release' in result) return result.release
    if (tries >= LOCK_TRIES)
      throw new ErrandError(
        'unavailable',
        `The concurrency group "${name}" is held in the middle of a change, by process ${result.holder.pid}.`,
        { hint: 'That process was stopped: let it go on, or end it.' },
      )
    Atomics.wait(pause, 0, 0, LOCK_PAUSE_MS)
  }
}

/** Undefined where another process has just removed the folder as an empty one. */
function takenLock(file: string): LockResult | undefined {
  try {
    return takePidLock(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return undefined
  }
}

/** Those of this user. Without a home that can be written to, groups count within this command alone, which is told. */
export function openLocalConcurrency(): ConcurrencyLimiter {
  try {
    return new LocalConcurrency(join(errandHome(), 'local', 'groups'), sweepKilled)
  } catch (error) {
    process.stderr.write(`warning: concurrency groups count within this command alone: ${messageOf(error)}\n`)
    return new InProcessLimiter()
  }
}
