import type { StreamName } from '../../contract/attempt.ts'
import { type BotLogs, type LogLine, MAX_LOG_LINES } from '../../contract/bot-api.ts'
import type { EngineFace } from '../../engine/face.ts'

export interface LogWanted {
  /** The last so many lines. */
  tail: number
  search?: string
  /** Milliseconds since 1970. */
  sinceMs?: number
  stream?: StreamName
}

/** Most text that is looked at for one answer, and that goes into it. */
const MAX_LOOKED_CHARACTERS = 64 * 1024 * 1024
const MAX_ANSWER_CHARACTERS = 4 * 1024 * 1024
const MAX_LINE_CHARACTERS = 64 * 1024
/** Events looked at together. */
const CHUNK = 500
/** Most events that are looked at for one answer. */
const MAX_EVENTS = 200_000

/** Whether a line is one of those wanted. */
export function wants({ search, sinceMs, stream }: Omit<LogWanted, 'tail'>): (line: LogLine) => boolean {
  const needle = search?.toLowerCase()
  return (line) =>
    (stream === undefined || line.stream === stream) &&
    (sinceMs === undefined || Date.parse(line.time) >= sinceMs) &&
    (needle === undefined || line.text.toLowerCase().includes(needle))
}

/** The last lines of a run's output up to the event `upTo`, read from its end on. */
export async function logTail(
  engine: Pick<EngineFace, 'watch'>,
  { run_id }: { run_id: string },
  upTo: number,
  wanted: LogWanted,
): Promise<Pick<BotLogs, 'lines' | 'truncated'>> {
  const isWanted = wants(wanted)
  const most = Math.min(wanted.tail, MAX_LOG_LINES)
  let found: LogLine[] = []
  let newer: Chunk | undefined
  let [looked, answered] = [0, 0]
  const take = (lines: readonly LogLine[]) => {
    const fitting = lines.filter(isWanted)
    answered += fitting.reduce((sum, { text }) => sum + text.length, 0)
    found = [...fitting, ...found]
  }
  let to = upTo
  while (to > 0 && found.length < most) {
    const from = Math.max(0, to - CHUNK)
    const chunk = await readChunk(engine, run_id, from, to)
    if (newer !== undefined) {
      join(chunk, newer)
      take(newer.lines)
    }
    newer = chunk
    looked += chunk.characters
    to = from
    const isOld = wanted.sinceMs !== undefined && Date.parse(chunk.firstTime ?? '') < wanted.sinceMs
    if (isOld || looked > MAX_LOOKED_CHARACTERS || answered > MAX_ANSWER_CHARACTERS || upTo - to > MAX_EVENTS)
      break
  }
  // The first line of a stream may have begun before what was looked at.
  if (newer !== undefined)
    take(to === 0 ? newer.lines : newer.lines.filter((line) => !newer!.first.has(line)))
  const lines = bounded(found.slice(most === 0 ? found.length : -most))
  return { lines, truncated: to > 0 && lines.length < most }
}

interface Chunk {
  lines: LogLine[]
  /** The first line of each stream; it may have begun before. */
  first: Set<LogLine>
  characters: number
  firstTime?: string
}

async function readChunk(
  engine: Pick<EngineFace, 'watch'>,
  runId: string,
  from: number,
  to: number,
): Promise<Chunk> {
  const chunk: Chunk = { lines: [], first: new Set(), characters: 0 }
  const open = new Map<StreamName, LogLine>()
  for await (const event of engine.watch(runId, from)) {
    chunk.firstTime ??= event.time
    if (event.type === 'output') {
      const { stream, time, text = '' } = event
      chunk.characters += text.length
      const parts = text.split('\n')
      for (const [index, part] of parts.entries()) {
        const ends = index < parts.length - 1
        if (part === '' && !ends) continue
        let line = open.get(stream)
        if (line === undefined) {
          line = { time, stream, text: '', open: true }
          open.set(stream, line)
          if (![...chunk.first].some((one) => one.stream === stream)) chunk.first.add(line)
          chunk.lines.push(line)
        }
        line.text = clipped(line.text + part)
        line.time = time
        if (!ends) continue
        delete line.open
        line.text = line.text.replace(/\r$/, '')
        open.delete(stream)
      }
    }
    if (event.seq >= to) break
  }
  return chunk
}

/** What was left open in the older chunk goes on in the newer one. */
function join(older: Chunk, newer: Chunk): void {
  for (const first of newer.first) {
    const at = older.lines.findLastIndex(({ stream, open }) => stream === first.stream && open)
    if (at < 0) continue
    const [begun] = older.lines.splice(at, 1)
    first.text = clipped(begun!.text + first.text)
    if (older.first.delete(begun!)) older.first.add(first)
  }
}

const clipped = (text: string): string =>
  text.length > MAX_LINE_CHARACTERS ? text.slice(0, MAX_LINE_CHARACTERS) : text

/** The newest of them, as many as fit. */
function bounded(lines: readonly LogLine[]): LogLine[] {
  let characters = 0
  let from = lines.length
  while (from > 0 && characters + lines[from - 1]!.text.length <= MAX_ANSWER_CHARACTERS)
    characters += lines[--from]!.text.length
  return lines.slice(from)
}
