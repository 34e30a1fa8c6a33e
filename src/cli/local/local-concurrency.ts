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

/** Describes a run that is in a group or waits for it, and the process that conducts the run. */
interface SlotFile extends Holder {
  run_id: string
  inside: boolean
}

/** Describes a concurrency group as stored in its file, with its runs in the order in which they came. */
interface Group {
  name: string
  /** Limit of the run that came last. */
  limit: number
  places: SlotFile[]
}

/** Describes a run of this process that waits. */
interface Waiting {
  timer: NodeJS.Timeout | undefined
  start: () => void
}

/** Milliseconds between two checks of a waiting run: a holder that was killed notifies nobody. */
const LOOK_MS = 200
/** Tries to get the lock. A change takes a millisecond or two; a process that takes longer was stopped in one. */
const LOCK_TRIES = 400
const LOCK_PAUSE_MS = 5
/** Most runs that are named in the reason for a wait. */
const NAMED_HOLDERS = 3

/**
 * Keeps the concurrency groups of this user's runs on this machine without a hub. They are files in the user's folder,
 * which each process changes under a lock. The place of a killed process is free once what it left running has ended.
 */
export class LocalConcurrency implements ConcurrencyLimiter {
  readonly #folder: string
  readonly #sweep: () => Promise<void>
  readonly #me = thisProcess()
  /** Group of each run of this process that has a place. */
  readonly #groupOf = new Map<string, string>()
  readonly #waiting = new Map<string, Waiting>()

  /** Creates the folder, and throws what node:fs throws. `sweep` ends what killed commands left running. */
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
      // Other processes will see that the holder of this place has ended.
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
        // A group that cannot be read or changed now may be later.
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
      // Somebody has removed the file.
      if (!group.places.some((place) => this.#isMine(place, runId)))
        group.places.push({ ...this.#me, run_id: runId, inside: false })
    })
    return changed.places.some((place) => place.inside && this.#isMine(place, runId))
  }

  #isMine(place: SlotFile, run_id: string): boolean {
    return isSame(place, { ...this.#me, run_id })
  }

  /** Changes a group, lets in the runs whose turn it is, and returns the changed group. */
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

const isSame = (a: Omit<SlotFile, 'inside'>, b: Omit<SlotFile, 'inside'>): boolean =>
  a.run_id === b.run_id && a.pid === b.pid && a.started === b.started

/** Lets in the runs whose turn it is. Drops waiting runs whose process has ended. */
function fill(group: Group): void {
  group.places = group.places.filter((place) => place.inside || isHolding(place))
  let inside = group.places.filter((place) => place.inside).length
  for (const place of group.places)
    if (!place.inside && inside < group.limit) {
      place.inside = true
      inside++
    }
}

/** Takes the lock of a group, and blocks the thread meanwhile: the engine asks for a place synchronously. */
function lock(file: string, name: string): () => void {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (let tries = 1; ; tries++) {
    const result = takenLock(file)
    if (result === undefined) continue
    if ('release' in result) return result.release
    if (tries >= LOCK_TRIES)
      throw new ErrandError(
        'unavailable',
        `Process ${result.holder.pid} has stopped in the middle of a change of the concurrency group "${name}".`,
        { hint: 'Let that process continue, or end it.' },
      )
    Atomics.wait(pause, 0, 0, LOCK_PAUSE_MS)
  }
}

/** Takes the lock; returns undefined if another process has just removed the empty folder. */
function takenLock(file: string): LockResult | undefined {
  try {
    return takePidLock(file)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error
    return undefined
  }
}

/** Opens the groups of this user. Without a writable home it warns, and groups count within this command only. */
export function openLocalConcurrency(): ConcurrencyLimiter {
  try {
    return new LocalConcurrency(join(errandHome(), 'local', 'groups'), sweepKilled)
  } catch (error) {
    process.stderr.write(`warning: concurrency groups count within this command only: ${messageOf(error)}\n`)
    return new InProcessLimiter()
  }
}
