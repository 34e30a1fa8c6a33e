import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ErrandClient } from '../../../client/client.ts'
import { StreamName } from '../../../contract/attempt.ts'
import { ErrandError } from '../../../contract/errors.ts'
import type { RunView } from '../../../contract/run.ts'
import type { FoundLines, Line, Stretches } from '../../../contract/run-api.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { exitCodes } from '../../exit-codes.ts'
import { JsonLines } from '../../follow/json-lines.ts'
import { CHILDREN_AT_ONCE, eachEvent, FamilyDisplay } from '../../follow/run-family.ts'
import { TextOut } from '../../follow/text-out.ts'
import { hubOptions } from '../../option-values.ts'
import {
  type ColorChoice,
  hasLiveLines,
  lineText,
  terminalText,
  usesColor,
} from '../../render/terminal-text.ts'
import { colorChoice, showOptions } from '../../run-options.ts'

export const runsLogs = command({
  summary:
    'Show what a run has printed, numbered lines of one step, or lines that match; with --attempt, the original bytes.',
  args: '<id>',
  options: {
    follow: { type: 'boolean', short: 'f', help: 'Follow the run until it ends' },
    attempt: { type: 'string', value: 'N', help: 'The whole output of this attempt, byte for byte' },
    stream: {
      type: 'string',
      value: 'NAME',
      help: 'Only stdout or stderr (default with --attempt alone: stdout)',
    },
    step: { type: 'string', value: 'NAME', help: 'Lines of this step; NAME@HOST for one host' },
    lines: {
      type: 'string',
      value: 'WHICH',
      help: 'Numbered lines: 100-200, 100, 100- or -50 (the last 50)',
    },
    grep: { type: 'string', value: 'TEXT', help: 'Only lines with this text, ignoring case' },
    regex: { type: 'boolean', help: 'With --grep: the text is a JavaScript regular expression' },
    json: { type: 'boolean', help: 'Print one JSON event per line, and {"type":"result"} at the end' },
    ...showOptions,
    ...hubOptions,
  },
  examples: [
    'errand runs logs run_0123',
    'errand runs logs run_0123 --step test@web-1 --lines -50',
    'errand runs logs run_0123 --step test --grep "error|failed" --regex',
    'errand runs logs run_0123 --step test --stream stderr --lines -20',
    'errand runs logs run_0123 --attempt 1 > out.bin',
  ],
  async run(
    { follow, attempt, stream, step, lines, grep, regex, json = false, verbose, color, ...hub },
    [id],
  ) {
    if (regex && grep === undefined) throw new UsageError('--regex needs --grep', 'write --grep TEXT')
    const isOfOne = stream !== undefined && attempt === undefined
    if (step !== undefined || lines !== undefined || grep !== undefined || isOfOne) {
      if (follow)
        throw new UsageError(
          '--follow cannot be combined with --step, --lines, --grep or --stream',
          'leave one of them out',
        )
      const only = stream === undefined ? undefined : streamNamed(stream)
      const tty = process.stdout.isTTY ?? false
      const print = printer(json, usesColor(tty, process.env, colorChoice(color)))
      const client = connect(hub)
      const number = attempt === undefined ? await attemptOf(client, id!, step) : attemptNumber(attempt)
      const selection = { id: id!, number, which: lines ?? '1-', only }
      if (grep === undefined) await someLines(client, selection, print)
      else await matches(client, { ...selection, grep, regex: regex ?? false }, print)
      return exitCodes.success
    }
    if (json && attempt !== undefined)
      throw new UsageError('--attempt prints bytes and --json prints events', 'leave one out')
    const client = connect(hub)
    const damage =
      attempt === undefined
        ? await events(client, id!, { wait: follow ?? false, json, verbose, color: colorChoice(color) })
        : await bytes(client, id!, attemptNumber(attempt), stream ?? 'stdout')
    if (damage === undefined) return exitCodes.success
    process.stderr.write(`warning: the output is damaged: ${damage}\n`)
    return exitCodes.damaged
  },
})

function streamNamed(text: string): StreamName {
  const name = StreamName.safeParse(text)
  if (!name.success) throw new UsageError(`--stream is "${text}"`, 'use stdout or stderr')
  return name.data
}

function attemptNumber(text: string): number {
  const number = Number(text)
  if (Number.isInteger(number) && number >= 1) return number
  throw new UsageError(`--attempt is "${text}"`, 'use a number from 1')
}

/** Returns the newest attempt of the named step, or of the only instance that has one. Throws `UsageError`. */
async function attemptOf(client: ErrandClient, runId: string, name: string | undefined): Promise<number> {
  const run: RunView = await client.runs.get(runId)
  const all = run.steps.flatMap(({ step, instances }) =>
    instances.flatMap(({ host, attempts }, index) =>
      attempts.slice(-1).map(({ number }) => ({
        number,
        names: [step, `${step}@${host}`, `${step}@${host}!${index}`],
        // Index of the shortest name that tells it from the others of its step.
        own: instances.filter((other) => other.host === host).length > 1 ? 2 : instances.length > 1 ? 1 : 0,
      })),
    ),
  )
  const found = name === undefined ? all : all.filter(({ names }) => names.includes(name))
  if (found.length === 1) return found[0]!.number
  const list = (found.length > 0 ? found : all).map(({ names, own }) => names[own]!)
  const shown = list.slice(0, 10).map(lineText).join(', ') + (list.length > 10 ? ', …' : '')
  const hint = list.length === 0 ? 'No step of the run has started yet.' : `use --step with one of: ${shown}`
  if (found.length > 1) throw new UsageError('--step must name a single log', hint)
  throw new UsageError(
    name === undefined ? 'the run has no log' : `--step "${name}" has no log in this run`,
    hint,
  )
}

/** Reads `--lines`: a number of last lines, or a range. Throws `UsageError`. */
function whichLines(text: string): { tail: number } | { from: number; to: number } {
  const [, from, dash, to] = /^(\d*)(-?)(\d*)$/.exec(text) ?? []
  if (from === '' && to !== '' && to !== undefined) return { tail: Number(to) }
  const first = Number(from)
  const last = dash === '' ? first : to === '' ? Number.POSITIVE_INFINITY : Number(to)
  if (from !== undefined && from !== '' && first >= 1 && last >= first) return { from: first, to: last }
  throw new UsageError(`--lines is "${text}"`, 'write it as 100-200, 100, 100- or -50')
}

type Hit = FoundLines['hits'][number]
type Print = (line: Line | Hit) => Promise<boolean>

/**
 * Returns the function that prints a line with its number: after `!` if it was on standard error, and after `≈` if
 * its place among the lines of the other stream is not known. The function resolves to false once the reader is gone.
 */
function printer(json: boolean, color: boolean): Print {
  const out = new TextOut(process.stdout)
  let isGone = false
  out.whenGone(() => {
    isGone = true
  })
  return async (line) => {
    const cut = 'length' in line && line.length !== undefined ? ` … (${line.length} bytes)` : ''
    const place = 'unordered' in line && line.unordered ? '≈' : ' '
    const mark = line.stream === 'stderr' ? '!' : '|'
    const text = `${String(line.number).padStart(6)}${place}${mark} ${terminalText(line.text, color)}${cut}\n`
    await out.write(json ? `${JSON.stringify({ type: 'line', ...line })}\n` : text)
    return !isGone
  }
}

interface LineSelection {
  id: string
  number: number
  which: string
  /** The only stream whose lines are wanted. */
  only: StreamName | undefined
}

/** Returns the first and last wanted line. The hub counts a long log first, a part with each request. */
async function bounds(client: ErrandClient, selection: LineSelection): Promise<[number, number]> {
  const { id, number, which, only } = selection
  const range = whichLines(which)
  if ('from' in range) return [range.from, range.to]
  if (only !== undefined) {
    const all: [number, number][] = []
    for await (const stretch of stretchesOf(client, selection, 1)) all.push(stretch)
    let left = range.tail
    for (const [first, last] of all.toReversed()) {
      if (last - first + 1 >= left) return [last - left + 1, Number.POSITIVE_INFINITY]
      left -= last - first + 1
    }
    return [1, Number.POSITIVE_INFINITY]
  }
  for (;;) {
    const { total, behind } = await client.runs.lines(id, number, { tail: 0 })
    if (behind === undefined) return [Math.max(1, total - range.tail + 1), total]
  }
}

const CUT_BYTES = 64 * 1024
const LINES_A_PAGE = 100

/** Yields ranges of lines of one stream, from line `first` on. The hub counts a long log first. */
async function* stretchesOf(
  client: ErrandClient,
  { id, number, only }: LineSelection,
  first: number,
): AsyncGenerator<[number, number]> {
  for (let from: number | undefined = first; from !== undefined; ) {
    const found: Stretches = await client.runs.stretches(id, number, { stream: only!, from })
    if (found.behind !== undefined) continue
    yield* found.stretches
    from = found.next
  }
}

async function someLines(client: ErrandClient, selection: LineSelection, print: Print): Promise<void> {
  const [first, last] = await bounds(client, selection)
  const { id, number, only } = selection
  const wholes = only === undefined ? [[first, last] as const] : stretchesOf(client, selection, first)
  let from = first
  for await (const [begins, ends] of wholes) {
    from = Math.max(from, begins)
    while (from <= Math.min(ends, last)) {
      // The page may end after the stretch: if the streams alternate, one page covers many stretches.
      const query = { from, to: Math.min(last, from + LINES_A_PAGE - 1), cut: CUT_BYTES }
      const { lines, behind } = await client.runs.lines(id, number, query)
      for (const line of lines) if ((only ?? line.stream) === line.stream && !(await print(line))) return
      from += lines.length
      if (lines.length === 0 && behind === undefined) return
    }
  }
}

async function matches(
  client: ErrandClient,
  { grep, regex, ...selection }: LineSelection & { grep: string; regex: boolean },
  print: Print,
): Promise<void> {
  const [first, last] = await bounds(client, selection)
  // The hub searches only the lines that it has counted.
  while ((await client.runs.lines(selection.id, selection.number, { tail: 0 })).behind !== undefined);
  for (let cursor: number | undefined = first; cursor !== undefined && cursor <= last; ) {
    const query = { q: grep, re: regex, cursor }
    const { hits, next } = await client.runs.searchLines(selection.id, selection.number, query)
    for (const hit of hits) {
      if (hit.number > last) return
      if ((selection.only ?? hit.stream) === hit.stream && !(await print(hit))) return
    }
    cursor = next
  }
}

/** Writes the bytes that there are. Returns a text about the damage, or undefined if there is none. */
async function bytes(
  client: ErrandClient,
  runId: string,
  number: number,
  stream: string,
): Promise<string | undefined> {
  const name = streamNamed(stream)
  let damage: string | undefined
  const body = await client.output(runId, number, name).catch((error) => {
    if (!(error instanceof ErrandError) || error.code !== 'output_damaged') throw error
    damage = error.message
    return client.output(runId, number, name, { damaged: true })
  })
  try {
    await pipeline(Readable.fromWeb(body as Parameters<typeof Readable.fromWeb>[0]), process.stdout, {
      end: false,
    })
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error
  }
  return damage
}

/** Writes the events of a run. Returns what `bytes` returns. */
async function events(
  client: ErrandClient,
  runId: string,
  { wait, json, verbose, color }: { wait: boolean; json: boolean; verbose?: boolean; color?: ColorChoice },
): Promise<string | undefined> {
  const tty = process.stdout.isTTY ?? false
  const show = {
    maxBytes: () => Infinity,
    wholeOutput: () => '',
    verbose,
    allRows: (id: string) => `errand runs show ${id} --verbose`,
    answerHint: (step: string, id: string) => `answer with: errand approve ${id} "${step}"`,
  }
  const displays = new FamilyDisplay(show, { tty, color: usesColor(tty, process.env, color) })
  const lines = new JsonLines(runId)
  const out = new TextOut(process.stdout)
  const gone = new AbortController()
  const { signal } = gone
  let missing = 0
  out.whenGone(() => gone.abort())
  const isLive = hasLiveLines(tty, process.env)
  const quiet = wait && !json ? out.meanwhile(displays, { isLive, isPaused: () => false }) : undefined
  const eventsOf = (id: string) => (wait ? client.events(id, { signal }) : eventsSoFar(client, id, signal))
  try {
    await eachEvent(runId, {
      events: eventsOf,
      report: (event, member) => {
        if (event.type === 'output') missing += event.missing ?? 0
        return out.write(json ? lines.event(event, member.runId) : displays.add(event, member))
      },
      childrenAtOnce: CHILDREN_AT_ONCE,
    })
    if (json) await out.write(lines.result(await client.runs.get(runId)))
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    quiet?.()
  }
  return missing === 0 ? undefined : `the hub no longer has ${missing} bytes of it.`
}

async function* eventsSoFar(client: ErrandClient, runId: string, signal: AbortSignal) {
  const { last_seq } = await client.runs.get(runId)
  for await (const event of client.events(runId, { signal })) {
    yield event
    if (event.seq >= last_seq) return
  }
}
