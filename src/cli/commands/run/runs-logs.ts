import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import type { ErrandClient } from '../../../client/client.ts'
import { StreamName } from '../../../contract/attempt.ts'
import { ErrandError } from '../../../contract/errors.ts'
import { command, UsageError } from '../../command.ts'
import { connect } from '../../connection.ts'
import { exitCodes } from '../../exit-codes.ts'
import { JsonLines } from '../../follow/json-lines.ts'
import { CHILDREN_AT_ONCE, eachEvent, FamilyDisplay } from '../../follow/run-family.ts'
import { TextOut } from '../../follow/text-out.ts'
import { hubOptions } from '../../option-values.ts'
import { type ColorChoice, hasLiveLines, wantsColor } from '../../render/terminal-text.ts'
import { colorChoice, showOptions } from '../../run-options.ts'

export const runsLogs = command({
  summary: 'Show what a run has printed; with --attempt, the bytes of one attempt as they were.',
  args: '<id>',
  options: {
    follow: { type: 'boolean', short: 'f', help: 'Go on until the run ends' },
    attempt: { type: 'string', value: 'N', help: 'The whole output of this attempt, byte for byte' },
    stream: { type: 'string', value: 'NAME', help: 'With --attempt: stdout (default) or stderr' },
    json: { type: 'boolean', help: 'Print one JSON event a line, and {"type":"result"} at the end' },
    ...showOptions,
    ...hubOptions,
  },
  examples: ['errand runs logs run_0123', 'errand runs logs run_0123 --attempt 1 > out.bin'],
  async run({ follow, attempt, stream = 'stdout', json = false, verbose, color, ...hub }, [id]) {
    if (json && attempt !== undefined)
      throw new UsageError('--attempt gives bytes as they are, and --json events', 'write one of them')
    const client = connect(hub)
    const damage =
      attempt === undefined
        ? await events(client, id!, { wait: follow ?? false, json, verbose, color: colorChoice(color) })
        : await bytes(client, id!, attempt, stream)
    if (damage === undefined) return exitCodes.success
    process.stderr.write(`warning: the output is damaged: ${damage}\n`)
    return exitCodes.damaged
  },
})

/** Writes the bytes that there are; returns in words how they are damaged, undefined where they are not. */
async function bytes(
  client: ErrandClient,
  runId: string,
  attempt: string,
  stream: string,
): Promise<string | undefined> {
  const name = StreamName.safeParse(stream)
  if (!name.success) throw new UsageError(`--stream is "${stream}"`, 'it is stdout or stderr')
  const number = Number(attempt)
  if (!Number.isInteger(number) || number < 1)
    throw new UsageError(`--attempt is "${attempt}"`, 'it is a number from 1')
  let damage: string | undefined
  const body = await client.output(runId, number, name.data).catch((error) => {
    if (!(error instanceof ErrandError) || error.code !== 'output_damaged') throw error
    damage = error.message
    return client.output(runId, number, name.data, { damaged: true })
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

/** As `bytes`. */
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
  const displays = new FamilyDisplay(show, { tty, color: wantsColor(tty, process.env, color) })
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
      tell: (event, member) => {
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
