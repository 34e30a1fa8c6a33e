import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { StreamName } from '../../contract/attempt.ts'
import type { RunRecord } from '../../contract/run.ts'
import type { EngineFace } from '../../engine/api.ts'
import { AttemptLog, type ReadBytes } from './attempt-log.ts'
import { LineIndex } from './line-index.ts'

/** Limits the indexes in memory, by number and by bytes. */
const MOST_HELD = 64
const MOST_HELD_BYTES = 64 * 1024 * 1024
/** Cost of rebuilding an index from which on it is stored in a file. */
const CACHED_BYTES = 4 * 1024 * 1024
const CACHED_EVENTS = 2_000

type Engine = Pick<EngineFace, 'watch' | 'output' | 'outputLength'>

/**
 * Provides the lines of all attempts. An index is built when lines are first requested, and grows from there. It is
 * stored in a file next to the outputs (`<run id>/<attempt>.lines`), and deleted with them. A file that does not
 * match the log is rebuilt.
 */
export class RunLines {
  readonly #engine: Engine
  readonly #dir: string
  /** Attempts by key, least recently used first. */
  readonly #held = new Map<string, Promise<AttemptLog>>()

  /** `dir` is the folder of the outputs. */
  constructor({ engine, dir }: { engine: Engine; dir: string }) {
    this.#engine = engine
    this.#dir = dir
  }

  /**
   * Returns the lines of an attempt up to the end of its run's log, or up to where `untilMs` (of `performance.now`)
   * allows: then `behind` is set. Returns undefined if the log has no such attempt.
   */
  async of(
    record: RunRecord,
    number: number,
    { read, untilMs }: { read: ReadBytes; untilMs: number },
  ): Promise<{ log: AttemptLog; behind: boolean } | undefined> {
    const { run_id, created_at, last_seq } = record
    const key = `${run_id}.${number}.${created_at}`
    const held = this.#held.get(key) ?? this.#load(record, number)
    this.#held.delete(key)
    this.#held.set(key, held)
    // A store that fails now may work for the next request.
    const log = await held.catch((error) => {
      this.#held.delete(key)
      throw error
    })
    const stop = new AbortController()
    const events = (after: number) => this.#engine.watch(run_id, after, stop.signal, { outputBytes: 0 })
    const isWhole = await log.grow({ events, read, lastSeq: last_seq, untilMs }).finally(() => stop.abort())
    const { head } = log.index
    if (isWhole && !head.begun) {
      this.#held.delete(key)
      return undefined
    }
    await this.#keep(record, number, log)
    await this.#release()
    return { log: log, behind: !isWhole }
  }

  /** Returns how many bytes that the index knows are no longer there. */
  async missing({ run_id }: RunRecord, number: number, { index }: AttemptLog): Promise<number> {
    const lost = async (stream: StreamName) =>
      Math.max(0, index.head.told[stream] - (await this.#engine.outputLength(run_id, number, stream)))
    return (await lost('stdout')) + (await lost('stderr'))
  }

  #file = (runId: string, number: number): string => join(this.#dir, runId, `${number}.lines`)

  async #load({ run_id, created_at, last_seq }: RunRecord, number: number): Promise<AttemptLog> {
    const file = await readFile(this.#file(run_id, number)).catch(() => undefined)
    const index = file && LineIndex.fromFile(file, created_at)
    if (index === undefined || index.head.seq > last_seq) return new AttemptLog(number)
    const { outputSeq, told } = index.head
    // A database that lost its last commits has other events now.
    for await (const event of this.#engine.watch(run_id, outputSeq - 1, undefined, { outputBytes: 0 })) {
      const isSame =
        event.type === 'output' &&
        event.attempt === number &&
        event.offset + event.length === told[event.stream]
      return new AttemptLog(number, isSame ? index : undefined)
    }
    return new AttemptLog(number)
  }

  /** Stores the index. If the folder or disk takes no file, the next start only takes longer. */
  async #keep({ run_id, created_at }: RunRecord, number: number, log: AttemptLog): Promise<void> {
    const { bytes, events } = log.unkept
    const { head } = log.index
    if (head.outputSeq === 0) return
    // The threshold grows with the log, so that a log that grows for days does not cost more and more writes.
    const { stdout, stderr } = head.told
    const isMuch = bytes >= Math.max(CACHED_BYTES, (stdout + stderr) / 8)
    if (!isMuch && events < Math.max(CACHED_EVENTS, head.seq / 8)) return
    log.unkept = { bytes: 0, events: 0 }
    const file = this.#file(run_id, number)
    const temporary = `${file}.tmp`
    await writeFile(temporary, log.index.toFile(created_at), { mode: 0o600 })
      .then(() => rename(temporary, file))
      .catch(() => {})
  }

  async #release(): Promise<void> {
    const sizes = new Map<string, number>()
    for (const [key, held] of this.#held)
      sizes.set(key, await held.then(({ index }) => index.bytes).catch(() => 0))
    let bytes = [...sizes.values()].reduce((sum, each) => sum + each, 0)
    for (const [key, size] of sizes) {
      if (this.#held.size <= MOST_HELD && bytes <= MOST_HELD_BYTES) return
      bytes -= size
      this.#held.delete(key)
    }
  }
}
