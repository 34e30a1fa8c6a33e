import { readdirSync, readFileSync } from 'node:fs'
import { environmentOf } from '../../platform/process-environment.ts'
import { TICKS } from './spent-cpu.ts'

/** A process as the watchdog needs it. */
export interface TableEntry {
  pid: number
  parent: number
  group: number
  session: number
  /** With the pid it names the process for good. */
  start: string
  threads: number
  /** Its own time and that of the children it has waited for. */
  cpuMs: number
  residentBytes: number
}

/** The auxiliary vector's key of the size of a page. */
const AT_PAGESZ = 6n
/** Of the time, the part that looking may take. */
const SHARE = 20

/** All processes of this machine, looked at once for all that want to know. */
export class ProcessTable {
  readonly #pageBytes = pageBytes()
  #entries: readonly TableEntry[] = []
  #marks = new Map<string, string>()
  #atMs = -Infinity
  #tookMs = 0

  /** As they are now, or were at most so long ago; longer where looking is slow. */
  entries(maxAgeMs: number): readonly TableEntry[] {
    const now = performance.now()
    if (now - this.#atMs >= Math.max(maxAgeMs, this.#tookMs * SHARE)) {
      this.#entries = list(this.#pageBytes)
      this.#tookMs = performance.now() - now
      this.#atMs = performance.now()
      const living = new Set(this.#entries.map(keyOf))
      for (const key of this.#marks.keys()) if (!living.has(key)) this.#marks.delete(key)
    }
    return this.#entries
  }

  /** As it is now, of one that was there; 0 where it is gone. */
  residentBytes({ pid, start }: TableEntry): number {
    const now = tableEntry(read(`/proc/${pid}/stat`), this.#pageBytes)
    return now?.start === start ? now.residentBytes : 0
  }

  /** Of `ERRAND_ATTEMPT_MARK=…` in its environment at its start; read once, where it can be. */
  mark(entry: TableEntry): string {
    const key = keyOf(entry)
    const known = this.#marks.get(key)
    if (known !== undefined) return known
    const environment = environmentOf(entry.pid)
    const mark = /\0(ERRAND_ATTEMPT_MARK=[^\0]*)/.exec(environment ?? '')?.[1] ?? ''
    if (environment !== undefined) this.#marks.set(key, mark)
    return mark
  }
}

export const keyOf = ({ pid, start }: TableEntry): string => `${pid} ${start}`

/** Undefined where it is gone, or is dead but for its parent. */
export function tableEntry(line: string, pageBytes: number): TableEntry | undefined {
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ')
  if (fields.length < 22 || fields[0] === 'Z' || fields[0] === 'X') return undefined
  const number = (index: number) => Number(fields[index])
  return {
    pid: Number.parseInt(line, 10),
    parent: number(1),
    group: number(2),
    session: number(3),
    start: fields[19]!,
    threads: number(17),
    cpuMs: ((number(11) + number(12) + number(13) + number(14)) * 1000) / TICKS,
    residentBytes: number(21) * pageBytes,
  }
}

function list(pageBytes: number): TableEntry[] {
  const found: TableEntry[] = []
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const entry = tableEntry(read(`/proc/${name}/stat`), pageBytes)
    if (entry !== undefined) found.push(entry)
  }
  return found
}

function read(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}

function pageBytes(): number {
  const words = Buffer.from(read('/proc/self/auxv'), 'latin1')
  for (let at = 0; at + 16 <= words.length; at += 16)
    if (words.readBigUInt64LE(at) === AT_PAGESZ) return Number(words.readBigUInt64LE(at + 8))
  return 4096
}
