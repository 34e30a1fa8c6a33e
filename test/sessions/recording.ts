import { appendFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'
import type { AgentUpdate } from '../../src/contract/agent.ts'
import type { AttemptReport } from '../../src/contract/attempt.ts'
import type { AttemptFacts } from '../../src/runner/attempts/attempt-folder.ts'
import type { JournalEntry } from '../../src/runner/attempts/journal.ts'

const REPOSITORY = join(import.meta.dirname, '../..')
export const STAND_IN = join(REPOSITORY, 'test/support/acp-agent-stand-in.ts')
export const RECORDED = join(import.meta.dirname, 'recorded')

/**
 * A line of a recording: the content of an attempt's folder, with the agent's lines in their places among the
 * journal's entries.
 */
type RecordedLine =
  | { facts: AttemptFacts; secrets?: object }
  | { entry: Exclude<JournalEntry, { type: 'event' }> }
  | { event: Extract<JournalEntry, { type: 'event' }>['event'] }
  /** A line of the agent. */
  | { line: string }
  /** The input of one process, and its exit code. */
  | { sent: string; exit?: string }
  | { said: string }

/** Returns the folder of an attempt as text, without what belongs only to this machine. */
export function recordingOf(folder: string, facts: AttemptFacts, place: string, secrets?: object): string {
  const file = (...names: string[]) => {
    const path = join(folder, ...names)
    return existsSync(path) ? readFileSync(path, 'utf8') : undefined
  }
  const lines: RecordedLine[] = [{ facts, secrets }]
  let number = 0
  let wire = Buffer.alloc(0)
  let sent = 0
  const send = (to: number) => {
    for (const line of wire.subarray(sent, to).toString().split('\n').slice(0, -1)) lines.push({ line })
    sent = Math.max(sent, to)
  }
  for (const text of file('reports')!.trimEnd().split('\n')) {
    const entry = JSON.parse(text) as JournalEntry
    if (entry.type !== 'event') {
      lines.push({ entry })
      continue
    }
    if (entry.at > 0) send(entry.at)
    lines.push({ event: entry.event })
    if (entry.event.type !== 'launched') continue
    wire = Buffer.from(file(`process.${++number}`, 'wire') ?? '')
    sent = 0
  }
  send(wire.length)
  for (const name of readdirSync(folder).filter((each) => each.startsWith('process.')))
    lines.push({ sent: file(name, 'input') ?? '', exit: file(name, 'exit') })
  lines.push({ said: file('stdout.masked') ?? file('stdout') ?? '' })
  return lines.map((line) => `${generalized(JSON.stringify(line), place)}\n`).join('')
}

const placed = (place: string): [string, string][] => [
  [place, '{place}'],
  [STAND_IN, '{stand-in}'],
  [process.execPath, '{node}'],
  [REPOSITORY, '{repository}'],
  [homedir(), '{home}'],
]

function generalized(text: string, place: string): string {
  let all = text
  for (const [path, name] of placed(place)) all = all.replaceAll(path, name)
  // Copilot and other agents name a folder after its path.
  return all.replaceAll(place.replaceAll('/', '-'), '-{place}').replaceAll(/127\.0\.0\.1:\d+/g, '127.0.0.1:9')
}

export interface Recorded {
  facts: AttemptFacts
  reports: AttemptReport[]
  sent: string[]
  said: string
}

/**
 * Writes a recording as the folder of an attempt whose machine has restarted since. Only as many of its reports as
 * `kept` returns, and that share of its text, are there: the rest was not reported yet.
 */
export function prepare(name: string, place: string, storedReports: (reports: number) => number): Recorded {
  let text = readFileSync(join(RECORDED, name), 'utf8')
  for (const [path, mark] of placed(place)) text = text.replaceAll(mark, path)
  const lines = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as RecordedLine)
  const { facts, secrets } = lines[0] as Extract<RecordedLine, { facts: unknown }>
  const folder = join(place, 'attempts', facts.spec.attempt_id)
  mkdirSync(folder, { recursive: true })
  writeFileSync(join(folder, 'spec.json'), JSON.stringify(facts))
  if (secrets) writeFileSync(join(folder, 'secrets'), JSON.stringify(secrets))
  const reported = lines.flatMap((line) =>
    'entry' in line && line.entry.type === 'report' ? [line.entry.report] : [],
  )
  const most = storedReports(reported.length)
  const recorded: Recorded = { facts, reports: reported, sent: [], said: '' }
  let number = 0
  let reports = 0
  let at = 0
  const keep = (entry: JournalEntry) => appendFileSync(join(folder, 'reports'), `${JSON.stringify(entry)}\n`)
  const inProcess = (which: number, file: string) => join(folder, `process.${which}`, file)
  for (const line of lines.slice(1)) {
    if ('entry' in line) {
      if (line.entry.type !== 'report' || ++reports <= most) keep(line.entry)
    } else if ('event' in line) {
      keep({ type: 'event', at, event: line.event })
      if (line.event.type !== 'launched') continue
      mkdirSync(inProcess(++number, ''), { recursive: true })
      writeFileSync(inProcess(number, 'claim.1'), `1\n1 (sh) S 1 ${'0 '.repeat(50)}\nan earlier boot\n\n`)
      at = 0
    } else if ('line' in line) {
      appendFileSync(inProcess(number, 'wire'), `${line.line}\n`)
      at += Buffer.byteLength(line.line) + 1
    } else if ('sent' in line) {
      recorded.sent.push(line.sent)
      if (line.exit !== undefined) writeFileSync(inProcess(recorded.sent.length, 'exit'), line.exit)
    } else if ('said' in line) {
      recorded.said = line.said
      // The text before masking is unknown.
      const bytes = Buffer.from(facts.masked ? '' : line.said)
      writeFileSync(
        join(folder, 'stdout'),
        bytes.subarray(0, Math.floor((bytes.length * most) / reported.length)),
      )
    }
  }
  return recorded
}

/** Returns what a session reported, however it was divided into reports. */
export function storyOf(reports: readonly AttemptReport[]): unknown[] {
  const story: unknown[] = []
  let last: AgentUpdate | undefined
  for (const report of JSON.parse(JSON.stringify(reports)) as AttemptReport[]) {
    if (report.type === 'started' || report.type === 'phase') continue
    if (report.type === 'ended') {
      const { outcome, reason, message, exports, denied } = report
      story.push({ outcome, reason, message, exports, denied })
    } else if (report.type !== 'update') story.push(report)
    else {
      const { update } = report
      const joined = last && joinedWith(last, update)
      if (joined) story.pop()
      last = joined ?? update
      story.push(last)
      continue
    }
    last = undefined
  }
  return story
}

function joinedWith(a: AgentUpdate, b: AgentUpdate): AgentUpdate | undefined {
  if ((a.kind === 'message' && b.kind === 'message') || (a.kind === 'thought' && b.kind === 'thought'))
    return { ...a, text: a.text + b.text }
  return a.kind === 'tool' && b.kind === 'tool' && a.tool_id === b.tool_id ? { ...a, ...b } : undefined
}
