import { mkdirSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ErrandClient } from '../../src/client/client.ts'
import type { ListRunsInput } from '../../src/contract/run-api.ts'
import { openSqliteStores } from '../../src/stores/sqlite/open.ts'
import { startHub } from '../hub.ts'
import { median, type Row, timed } from '../measure.ts'

const [COUNT, FEW, BATCH, PAGE, ROUNDS] = [100_000, 100, 1_000, 100, 7]
const statuses = ['success', 'success', 'success', 'failed', 'canceled'] as const
const words = ['nightly-db', 'deploy-web', 'reindex-search', 'rotate-certificates-for-every-customer-domain']

/** Times the dashboard's requests for the list of a hub that has had 100,000 runs. */
export async function runList(): Promise<Row[]> {
  const few = await onHubWith(FEW)
  const many = await onHubWith(COUNT)
  const row = (name: string, key: keyof typeof many, most: number): Row => ({
    name,
    unit: 'ms',
    value: many[key],
    baseline: { what: `of a hub that has had ${FEW}`, value: few[key] },
    budget: { what: `<= ${most} ms`, holds: many[key] <= most },
  })
  return [
    row(`first page of ${COUNT} runs`, 'first', 30),
    row('a page by its cursor, in their middle', 'deep', 30),
    row('those of a status and an owner, in their middle', 'filtered', 30),
    row('by the value of an input', 'input', 30),
    row('by a label', 'label', 30),
    row('a text that few have', 'text', 100),
    row('by how long they took, first page', 'sorted', 100),
    row('the same, in their middle', 'sortedDeep', 100),
    row('only the newest tries', 'latest', 50),
    row('counts of all by status', 'counts', 50),
    {
      name: 'the largest row of a page',
      unit: 'B',
      value: many.bytes,
      budget: { what: '<= 1,024 B', holds: many.bytes <= 1024 },
    },
  ]
}

async function onHubWith(count: number) {
  const data = await mkdtemp(join(tmpdir(), 'errand-bench-'))
  await seed(data, count)
  const hub = await startHub({ data })
  try {
    const { client } = hub
    const list = (filter: ListRunsInput) => client.runs.list({ limit: PAGE, ...filter })
    const middle = async (filter: ListRunsInput) => {
      const at = new Date(timeOf(count / 2)).toISOString()
      return (await list({ ...filter, created_before: at })).next_cursor
    }
    const ms = async (filter: ListRunsInput, cursor?: string) => {
      await list({ ...filter, cursor })
      return await rounds(async () => {
        const { runs } = await list({ ...filter, cursor })
        if (count === COUNT && runs.length === 0) throw new Error(`no run is like ${JSON.stringify(filter)}`)
      })
    }
    const some: ListRunsInput = { status: 'failed', owner: 'ann' }
    return {
      first: await ms({}),
      deep: await ms({}, await middle({})),
      filtered: await ms(some, await middle(some)),
      input: await ms({ input: 'region=eu-7' }),
      label: await ms({ label: 'team=db' }),
      text: await ms({ text: '0777' }),
      sorted: await ms({ sort: 'duration' }),
      sortedDeep: await ms({ sort: 'duration' }, await midDuration(client, count)),
      latest: await ms({ latest: 'true' }),
      counts: await rounds(() => client.runs.counts()),
      bytes: Math.max(...(await list({})).runs.map((run) => Buffer.byteLength(JSON.stringify(run)))),
    }
  } finally {
    await hub.stop()
    await rm(data, { recursive: true, force: true })
  }
}

/** Returns the cursor of a reader in the middle of the list, whose key is known here. */
async function midDuration(client: ErrandClient, count: number): Promise<string | undefined> {
  const { next_cursor } = await client.runs.list({ sort: 'duration', limit: 1 })
  if (next_cursor === undefined) return undefined
  const [, ...rest] = JSON.parse(Buffer.from(next_cursor, 'base64url').toString()) as [number, string, string]
  return Buffer.from(JSON.stringify([tookOf(count / 2), ...rest])).toString('base64url')
}

async function rounds(work: () => Promise<unknown>): Promise<number> {
  const times: number[] = []
  for (let round = 0; round < ROUNDS; round++) times.push(await timed(work))
  return median(times)
}

const timeOf = (n: number): number => Date.parse('2026-01-01T00:00:00Z') + n * 1000
const tookOf = (n: number): number => ((n * 7919) % 600_000) + 1

async function seed(data: string, count: number): Promise<void> {
  mkdirSync(data, { recursive: true })
  const { runs, close } = await openSqliteStores({ file: join(data, 'errand.db') })
  const create = (n: number) => {
    const status = statuses[n % statuses.length]!
    const name = words[n % words.length]!
    const created_at = new Date(timeOf(n)).toISOString()
    const finished_at = new Date(timeOf(n) + tookOf(n)).toISOString()
    const failure = { step: 'verify-dump', host: 'db-eu-2', reason: 'exit_code', message: 'x'.repeat(200) }
    const list_row = JSON.stringify({
      route: { stops: 'dddfaaaa' },
      ...(status === 'failed' && { now: { failure } }),
    })
    return runs.create(
      {
        run_id: `run_${String(n).padStart(20, '0')}`,
        blueprint: 'workflow',
        workflow_name: name,
        workflow: { version: 'v0.1', name, steps: [{ name: 'one', action: 'noop', args: {} }] },
        vars: { region: `eu-${n % 100}`, version: '2026.11.4', table: 'customers_and_their_orders' },
        labels: { team: n % 10 === 0 ? 'db' : 'web' },
        owner: n % 3 === 0 ? 'ann' : 'bob',
        tenant: 'default',
        created_at,
      },
      [{ seq: 1, time: finished_at, type: 'run.finished', status }],
      { status, started_at: created_at, finished_at, list_row },
    )
  }
  for (let made = 0; made < count; made += BATCH)
    await Promise.all(Array.from({ length: Math.min(BATCH, count - made) }, (_, n) => create(made + n)))
  close()
}
