import { type BenchHub, residentMb } from '../hub.ts'
import { median, type Row, timed } from '../measure.ts'

const LINES = 1_000_000
const ROUNDS = 5
const command = `seq -f "\x1b[32m2026-11-23T11:42:07\x1b[0m line %.0f of a log that is about as long as the lines of logs are, with colours" 1 ${LINES}`

/** Times a viewer's requests for a log of a million lines: its end first, a range in its middle, and a full search. */
export async function logLines(hub: BenchHub): Promise<Row[]> {
  const { client } = hub
  const steps = [{ name: 'much', action: 'cmd.run', args: { cmd: command } }]
  const { run_id } = await client.runs.create({ workflow: { version: 'v0.1', name: 'lines', steps } })
  for await (const _ of client.events(run_id, { outputBytes: 0 }));
  const idleMb = await residentMb(hub.hubPid)
  const tail = async () => {
    for (;;) {
      const { total, behind } = await client.runs.lines(run_id, 1, { tail: 200 })
      if (behind === undefined) return total
    }
  }
  const readMs = await timed(async () => {
    for await (const _ of await client.output(run_id, 1, 'stdout'));
  })
  let total = 0
  const firstMs = await timed(async () => {
    total = await tail()
  })
  if (total !== LINES) throw new Error(`The log has ${total} lines.`)
  const again = await rounds(() => tail())
  const middle = await rounds(() =>
    client.runs.lines(run_id, 1, { from: 1 + Math.floor(Math.random() * (LINES - 200)), limit: 200 }),
  )
  const search = async (q: string, re: boolean) => {
    let cursor: number | undefined = 1
    let hits = 0
    while (cursor !== undefined) {
      const found = await client.runs.searchLines(run_id, 1, { q, re, cursor })
      hits += found.hits.length
      cursor = found.next
    }
    if (hits !== 1) throw new Error(`${hits} lines were found.`)
  }
  const textMs = await timed(() => search('line 777777 ', false))
  const expressionMs = await timed(() => search('line 7{6} [a-z]+', true))
  const mb = await residentMb(hub.hubPid)
  const row = (name: string, value: number, most: number, details?: Record<string, number>): Row => ({
    name,
    unit: 'ms',
    value,
    baseline: { what: 'the output read whole', value: readMs },
    budget: { what: `<= ${most} ms`, holds: value <= most },
    details,
  })
  return [
    row('log of 1,000,000 lines: its end, asked for first', firstMs, 2_000),
    row('the same again', again, 50),
    row('200 lines in its middle', middle, 50),
    row('a text searched for in all of it', textMs, 5_000),
    row('an expression searched for in all of it', expressionMs, 5_000),
    {
      name: 'hub memory after that',
      unit: 'MB',
      value: mb,
      baseline: { what: 'before', value: idleMb },
      budget: { what: '<= 60 MB more', holds: mb - idleMb <= 60 },
    },
  ]
}

async function rounds(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) times.push(await timed(work))
  return median(times)
}
