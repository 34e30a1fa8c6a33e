import { Worker } from 'node:worker_threads'
import type { StreamName } from '../../contract/attempt.ts'
import { within } from '../../platform/races.ts'

/**
 * Holds the lengths of both outputs at one moment. `sure` means that the new bytes of standard error were written
 * within `PLACE_BYTES` of their recorded place.
 */
export interface Look {
  stdout: number
  stderr: number
  sure: boolean
}

/** Greatest distance of a line from its true place, in bytes. Parts that a hub joins raise it to 64 KB. */
export const PLACE_BYTES = 48 * 1024

/** Milliseconds between two checks of growing files: at 100 MB/s they grow by 25 KB meanwhile. */
const LOOK_MS = 0.25
const REPORT_MS = 20
/** Milliseconds between checks of files whose growth the system does not report. */
const POLL_MS = 100
/** Milliseconds that the thread may take for its last check. */
const LAST_MS = 2_000

type ToThread =
  | { type: 'watch'; id: number; stdout: string; stderr: string; from: [number, number] }
  | { type: 'last' | 'stop'; id: number }

interface SizeReport {
  id: number
  /** Three numbers for each look. */
  looks: number[]
  last: boolean
}

interface SizeListener {
  /** Receives looks in batches, in order. */
  onSizes(sizes: readonly Look[]): void
  /** Called when the thread is gone: no more looks come. */
  onGone(): void
}

interface Watched extends SizeListener {
  last: (() => void)[]
}

/**
 * Watches files that processes write into directly. A thread reads the lengths of both outputs as they grow, since
 * neither file holds their order. Work in this thread does not delay it.
 */
export class SizeWatch {
  readonly #watched = new Map<number, Watched>()
  #worker: Worker | undefined
  #ids = 0

  /** Watches two files from their known sizes on. */
  watch(
    files: Readonly<Record<StreamName, { path: string; size: number }>>,
    listener: SizeListener,
  ): SizeWatcher {
    const id = ++this.#ids
    const { stdout, stderr } = files
    this.#watched.set(id, { onSizes: listener.onSizes, onGone: listener.onGone, last: [] })
    const from: [number, number] = [stdout.size, stderr.size]
    this.#send({ type: 'watch', id, stdout: stdout.path, stderr: stderr.path, from })
    return {
      last: async () => await this.#last(id),
      stop: () => {
        if (this.#watched.delete(id)) this.#send({ type: 'stop', id })
      },
    }
  }

  /** Ends the thread. Idempotent. */
  close(): void {
    void this.#worker?.terminate()
    this.#worker = undefined
  }

  async #last(id: number): Promise<void> {
    const watched = this.#watched.get(id)
    if (!watched) return
    const { promise, resolve } = Promise.withResolvers<void>()
    watched.last.push(resolve)
    this.#send({ type: 'last', id })
    // Without it the order of the last bytes is unknown; no bytes are missing.
    await within(LAST_MS, promise, () => undefined)
  }

  #send(message: ToThread): void {
    this.#worker ??= this.#start()
    this.#worker.postMessage(message)
  }

  #start(): Worker {
    const worker = new Worker(`(${inThread})()`, {
      eval: true,
      workerData: { PLACE_BYTES, LOOK_MS, TELL_MS: REPORT_MS, POLL_MS },
      resourceLimits: { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 4 },
      env: {},
      stdout: true,
      stderr: true,
    })
    worker.unref()
    worker.on('message', ({ id, looks, last }: SizeReport) => {
      const watched = this.#watched.get(id)
      if (!watched) return
      const seen: Look[] = []
      for (let at = 0; at < looks.length; at += 3)
        seen.push({ stdout: looks[at]!, stderr: looks[at + 1]!, sure: looks[at + 2] === 1 })
      if (seen.length > 0) watched.onSizes(seen)
      if (last) for (const resolve of watched.last.splice(0)) resolve()
    })
    worker.on('error', () => {})
    worker.once('exit', () => {
      if (this.#worker === worker) this.#worker = undefined
      for (const [id, { onGone, last }] of this.#watched) {
        this.#watched.delete(id)
        for (const resolve of last) resolve()
        onGone()
      }
    })
    return worker
  }
}

export interface SizeWatcher {
  /** Resolves when everything written before was reported. */
  last(): Promise<void>
  /** Stops watching the files. Idempotent. */
  stop(): void
}

/** Runs in the thread. It is passed as text, so it can use nothing from outside itself. */
function inThread(): void {
  const { parentPort, workerData } = process.getBuiltinModule('node:worker_threads')
  const { openSync, closeSync, fstatSync, watch } = process.getBuiltinModule('node:fs')
  const { PLACE_BYTES: placeBytes, LOOK_MS: lookMs, TELL_MS: reportMs, POLL_MS: pollMs } = workerData

  interface Pair {
    id: number
    fds: [number, number]
    /** Lengths at the last look; `low` is the least length that stdout had when stderr had its length. */
    out: number
    err: number
    low: number
    looks: number[]
    /** Set if only this stream grew with the last of `looks`: another look at it replaces that one. */
    alone: 'out' | 'err' | undefined
    quiet: number
    reportedAt: number
    unwatch: () => void
  }
  const pairs = new Map<number, Pair>()
  const hot = new Set<Pair>()
  const sleeper = new Int32Array(new SharedArrayBuffer(4))
  let isTicking = false

  const sizeOf = (fd: number) => fstatSync(fd).size

  /** Reports whether one of the two has grown. */
  function look(pair: Pair): boolean {
    let out = sizeOf(pair.fds[0])
    const err = sizeOf(pair.fds[1])
    const low = out
    let sure = true
    if (err > pair.err) {
      // Again: everything written before is within these lengths.
      out = sizeOf(pair.fds[0])
      sure = out - pair.low <= placeBytes && err - pair.err <= placeBytes
    }
    const grown = { out: out > pair.out, err: err > pair.err }
    pair.low = low
    if (!grown.out && !grown.err) return false
    if (!grown.err || !grown.out) {
      const alone = grown.out ? 'out' : 'err'
      if (pair.alone === alone && sure && pair.looks.length > 0) pair.looks.length -= 3
      pair.alone = sure ? alone : undefined
    } else pair.alone = undefined
    pair.looks.push(out, err, sure ? 1 : 0)
    pair.out = out
    pair.err = err
    return true
  }

  function report(pair: Pair, last = false): void {
    if (pair.looks.length === 0 && !last) return
    parentPort!.postMessage({ id: pair.id, looks: pair.looks, last })
    pair.looks = []
    pair.reportedAt = performance.now()
  }

  function tick(): void {
    for (const pair of hot) {
      if (look(pair)) pair.quiet = 0
      else if (++pair.quiet > 2) hot.delete(pair)
      if (!hot.has(pair) || performance.now() - pair.reportedAt >= reportMs) report(pair)
    }
    isTicking = hot.size > 0
    if (!isTicking) return
    Atomics.wait(sleeper, 0, 0, lookMs)
    setImmediate(tick)
  }

  function heat(pair: Pair): void {
    if (!pairs.has(pair.id)) return
    pair.quiet = 0
    hot.add(pair)
    if (isTicking) return
    isTicking = true
    tick()
  }

  function watchFile(path: string, pair: Pair): () => void {
    try {
      const watcher = watch(path, { persistent: false }, () => heat(pair))
      watcher.on('error', () => watcher.close())
      return () => watcher.close()
    } catch {
      // The system watches no more files: the regular checks continue.
      return () => {}
    }
  }

  function begin({ id, stdout, stderr, from }: ToThread & { type: 'watch' }): void {
    const fds: [number, number] = [openSync(stdout, 'r'), openSync(stderr, 'r')]
    const [out, err] = from
    const pair: Pair = {
      ...{ id, fds, out, err, low: out, looks: [], alone: undefined, quiet: 0, reportedAt: 0 },
      unwatch: () => {},
    }
    pairs.set(id, pair)
    const watchers = [watchFile(stdout, pair), watchFile(stderr, pair)]
    pair.unwatch = () => {
      for (const unwatch of watchers) unwatch()
    }
    heat(pair)
  }

  parentPort!.on('message', (message: ToThread) => {
    if (message.type === 'watch') {
      begin(message)
      return
    }
    const pair = pairs.get(message.id)
    if (message.type === 'last') {
      if (pair) look(pair)
      if (pair) report(pair, true)
      else parentPort!.postMessage({ id: message.id, looks: [], last: true })
    } else if (pair) {
      pairs.delete(pair.id)
      hot.delete(pair)
      pair.unwatch()
      for (const fd of pair.fds) closeSync(fd)
    }
  })
  setInterval(() => {
    for (const pair of pairs.values()) if (!hot.has(pair)) heat(pair)
  }, pollMs)
}
