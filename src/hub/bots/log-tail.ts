import type { StreamName } from '../../contract/attempt.ts'
import { type BotLogs, type LogLine, MAX_LOG_LINES } from '../../contract/bots/bot-api.ts'
import type { EngineFace } from '../../engine/api.ts'

export interface LogSelection {
  /** Number of last lines to return. */
  tail: number
  search?: string
  /** Milliseconds since 1970. */
  sinceMs?: number
  stream?: StreamName
}

/** Limits the text that is read for one answer, and the text that the answer contains. */
const MAX_SEARCHED_CHARACTERS = 64 * 1024 * 1024
const MAX_ANSWER_CHARACTERS = 4 * 1024 * 1024
const MAX_LINE_CHARACTERS = 64 * 1024
/** Number of events in the first read. Reads grow while their events have little text; an event has 256 KiB at most. */
const FIRST_CHUNK = 8
const LAST_CHUNK = 512
const CHUNK_CHARACTERS = 1024 * 1024
/** Limits the events that are read for one answer. */
const MAX_EVENTS = 200_000

/** Returns a function that reports whether a line is wanted. */
export function selects({ search, sinceMs, stream }: Omit<LogSelection, 'tail'>): (line: LogLine) => boolean {
  const needle = search?.toLowerCase()
  return (line) =>
    (stream === undefined || line.stream === stream) &&
    (sinceMs === undefined || Date.parse(line.time) >= sinceMs) &&
    (needle === undefined || line.text.toLowerCase().includes(needle))
}

type Reads = Pick<EngineFace, 'watch' | 'output'>

/** Returns the last lines of a run's output up to the event `upTo`, reading backward from there. */
export async function logTail(
  engine: Reads,
  { run_id }: { run_id: string },
  upTo: number,
  selection: LogSelection,
): Promise<Pick<BotLogs, 'lines' | 'truncated'>> {
  const isSelected = selects(selection)
  const most = Math.min(selection.tail, MAX_LOG_LINES)
  const seen = new Set<StreamName>()
  let found: LogLine[] = []
  let [searched, answered] = [0, 0]
  const cut = new Set<LogLine>()
  // The searched text may be in the rest of a long line.
  let isCutSearched = false
  let to = upTo
  let size = FIRST_CHUNK
  while (to > 0 && found.length < most) {
    const from = Math.max(0, to - size)
    const chunk = await readChunk(engine, run_id, { from, to })
    if (chunk.characters < CHUNK_CHARACTERS) size = Math.min(size * 2, LAST_CHUNK)
    else size = Math.max(size / 2, FIRST_CHUNK)
    // A line that is open at the end of this chunk was read completely with the chunk after it.
    const whole = chunk.lines.filter((line) => !(line.open && seen.has(line.stream)))
    const lines = whole.filter(isSelected)
    for (const line of whole.filter((each) => chunk.cut.has(each))) {
      cut.add(line)
      isCutSearched ||= selection.search !== undefined && !lines.includes(line)
    }
    for (const { stream } of chunk.lines) seen.add(stream)
    found = [...lines, ...found]
    searched += chunk.characters
    answered += lines.reduce((sum, { text }) => sum + text.length, 0)
    to = from
    const isOld = selection.sinceMs !== undefined && Date.parse(chunk.firstTime ?? '') < selection.sinceMs
    if (isOld) to = 0
    if (searched > MAX_SEARCHED_CHARACTERS || answered > MAX_ANSWER_CHARACTERS || upTo - to > MAX_EVENTS)
      break
  }
  const last = found.slice(most === 0 ? found.length : -most)
  const lines = bounded(last)
  const isCut = isCutSearched || lines.some((line) => cut.has(line))
  return { lines, truncated: isCut || (to > 0 && found.length < most) || lines.length < last.length }
}

interface Chunk {
  lines: LogLine[]
  /** Lines that are longer than what is returned of them. */
  cut: Set<LogLine>
  characters: number
  firstTime?: string
}

/** Returns the lines that end or continue in these events, each from its beginning, even if that is before them. */
async function readChunk(
  engine: Reads,
  runId: string,
  { from, to }: { from: number; to: number },
): Promise<Chunk> {
  const chunk: Chunk = { lines: [], cut: new Set(), characters: 0 }
  const open = new Map<StreamName, LogLine>()
  const seen = new Set<StreamName>()
  for await (const event of engine.watch(runId, from)) {
    chunk.firstTime ??= event.time
    if (event.type === 'output') {
      const { stream, time, attempt, offset } = event
      const before = seen.has(stream) ? '' : await lineBegun(engine, runId, { attempt, stream, offset })
      seen.add(stream)
      const text = before + (event.text ?? '')
      chunk.characters += text.length
      const parts = text.split('\n')
      for (const [index, part] of parts.entries()) {
        const ends = index < parts.length - 1
        if (part === '' && !ends) continue
        let line = open.get(stream)
        if (line === undefined) {
          line = { time, stream, text: '', open: true }
          open.set(stream, line)
          chunk.lines.push(line)
        }
        if (line.text.length + part.length > MAX_LINE_CHARACTERS) chunk.cut.add(line)
        line.text = (line.text + part).slice(0, MAX_LINE_CHARACTERS)
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

/** Returns the part of a line that is before this offset of a stream. */
async function lineBegun(
  engine: Reads,
  runId: string,
  { attempt, stream, offset }: { attempt: number; stream: StreamName; offset: number },
): Promise<string> {
  if (offset === 0) return ''
  const bytes = await engine.output(runId, attempt, stream, Math.max(0, offset - MAX_LINE_CHARACTERS), offset)
  return bytes.subarray(bytes.lastIndexOf('\n') + 1).toString('utf8')
}

/** Returns as many of the newest lines as fit. */
function bounded(lines: readonly LogLine[]): LogLine[] {
  let characters = 0
  let from = lines.length
  while (from > 0 && characters + lines[from - 1]!.text.length <= MAX_ANSWER_CHARACTERS)
    characters += lines[--from]!.text.length
  return lines.slice(from)
}
