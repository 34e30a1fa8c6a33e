import { readFileSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import type { Refusal } from '../../contract/isolation.ts'
import { writeFileAtomic } from '../../platform/files.ts'
import { JsonLines, readJsonLines } from '../../platform/json-lines.ts'
import { LogEntry } from './rules.ts'

const LOG = 'told.jsonl'
const USED = 'used.json'
/** Time in ms in which refusals of one host and port are joined. */
const JOINED_MS = 1_000
const MOST_REFUSALS = 200
/** Limit for hosts counted by name; all others are counted together. */
const MOST_HOSTS = 200
const OTHERS = '(others)'
/** Limit for hosts whose refusals are joined at once; further ones count with the others. */
const MOST_JOINED = 1_000
const COUNTED_EVERY_MS = 1_000

interface Used {
  sent: number
  received: number
}

/** Writes the log of an endpoint into its folder, line by line, so that its process can lose only the last moment. */
export class EndpointLog {
  readonly #folder: string
  readonly #file: JsonLines<LogEntry>
  readonly #used: Map<string, Used>
  readonly #joined = new Map<string, { count: number; timer: NodeJS.Timeout }>()
  readonly #live = new Map<Socket, { host: string } & Used>()
  #refusals: number
  /** Refusals without a line of their own. */
  #others = 0
  #counting: NodeJS.Timeout | undefined

  constructor(folder: string) {
    this.#folder = folder
    this.#file = new JsonLines(join(folder, LOG))
    this.#refusals = this.#file.entries.filter(({ type }) => type === 'refused').length
    this.#used = new Map(Object.entries(readUsed(folder)))
  }

  readonly append = (line: LogEntry): void => {
    try {
      this.#file.append(line)
    } catch {
      // A full disk: nothing else can be done here, and traffic through the endpoint continues.
    }
  }

  refused(host: string, port: number, why: Refusal): void {
    const key = `${host} ${port} ${why}`
    const joined = this.#joined.get(key)
    if (joined) {
      joined.count++
      return
    }
    // The last line is for all that have none.
    if (this.#refusals >= MOST_REFUSALS - 1 || this.#joined.size >= MOST_JOINED) {
      this.#others++
      return
    }
    this.#refusals++
    this.append({ type: 'refused', host, port, why, count: 1 })
    const write = () => {
      const { count } = this.#joined.get(key)!
      this.#joined.delete(key)
      if (count === 0) return
      if (this.#refusals >= MOST_REFUSALS - 1) {
        this.#others += count
        return
      }
      this.#refusals++
      this.append({ type: 'refused', host, port, why, count })
      this.#joined.set(key, { count: 0, timer: setTimeout(write, JOINED_MS).unref() })
    }
    this.#joined.set(key, { count: 0, timer: setTimeout(write, JOINED_MS).unref() })
  }

  /** Counts the traffic of that connection to the host. */
  count(host: string, socket: Socket): void {
    this.#live.set(socket, { host, sent: 0, received: 0 })
    socket.once('close', () => {
      this.#take(socket)
      this.#live.delete(socket)
    })
    this.#counting ??= setTimeout(() => this.#keep(), COUNTED_EVERY_MS).unref()
  }

  /** Writes the rest. `used` adds the totals, because the endpoint closes for good. */
  close({ used }: { used: boolean }): void {
    for (const { timer } of this.#joined.values()) clearTimeout(timer)
    clearTimeout(this.#counting)
    for (const [key, { count }] of this.#joined) {
      if (count === 0) continue
      const [host = '', port, why] = key.split(' ')
      if (this.#refusals < MOST_REFUSALS - 1) {
        this.#refusals++
        this.append({ type: 'refused', host, port: Number(port), why: why as Refusal, count })
      } else this.#others += count
    }
    if (this.#others > 0)
      this.append({ type: 'refused', host: OTHERS, port: 0, why: 'host_not_allowed', count: this.#others })
    for (const socket of this.#live.keys()) this.#take(socket)
    this.#write()
    this.#file.close()
    if (used) logUsed(this.#folder)
  }

  #keep(): void {
    for (const socket of this.#live.keys()) this.#take(socket)
    this.#write()
    this.#counting =
      this.#live.size === 0 ? undefined : setTimeout(() => this.#keep(), COUNTED_EVERY_MS).unref()
  }

  #write(): void {
    if (this.#used.size === 0) return
    try {
      const text = JSON.stringify(Object.fromEntries(this.#used))
      writeFileAtomic(join(this.#folder, USED), text, { mode: 0o600, durable: false })
    } catch {
      // As above.
    }
  }

  /** Adds the traffic since the last check. */
  #take(socket: Socket): void {
    const live = this.#live.get(socket)!
    const name = this.#used.has(live.host) || this.#used.size < MOST_HOSTS ? live.host : OTHERS
    const used = this.#used.get(name) ?? { sent: 0, received: 0 }
    const { bytesWritten, bytesRead } = socket
    used.sent += bytesWritten - live.sent
    used.received += bytesRead - live.received
    this.#used.set(name, used)
    live.sent = bytesWritten
    live.received = bytesRead
  }
}

/** Deletes what opens an endpoint, including the keys, and reports what was used through it. */
export function closeEndpoint(folder: string): void {
  rmSync(join(folder, 'rules.json'), { force: true })
  rmSync(join(folder, 'in', 'proxy'), { force: true })
  logUsed(folder)
}

/** Writes, once, what was used through a closed endpoint. */
function logUsed(folder: string): void {
  const used = Object.entries(readUsed(folder))
  if (used.length === 0) return
  const log = new JsonLines<LogEntry>(join(folder, LOG))
  for (const [host, { sent, received }] of used)
    log.append({ type: 'used', host, sent_bytes: sent, received_bytes: received })
  log.close()
  rmSync(join(folder, USED), { force: true })
}

function readUsed(folder: string): Record<string, Used> {
  try {
    return JSON.parse(readFileSync(join(folder, USED), 'utf8')) as Record<string, Used>
  } catch {
    return {}
  }
}

export interface LogSince {
  lines: LogEntry[]
  /** Offset for the next read. */
  offset: number
}

/** Returns all complete lines of an endpoint's folder from that byte on; skips invalid ones. */
export function readSince(folder: string, offset: number): LogSince {
  const { entries: lines, offset: next } = readJsonLines(
    join(folder, LOG),
    offset,
    (line) => LogEntry.safeParse(JSON.parse(line)).data,
  )
  return { lines, offset: next }
}
