import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { chromium, type Page } from 'playwright-core'
import {
  busyRows,
  makeLongRuns,
  makeManyRuns,
  restOn,
  watchBusyRows,
} from '../../test/support/web/busy-rows.ts'
import { type BenchHub, residentMb } from '../hub.ts'
import { quantile, type Row, timed } from '../measure.ts'

const [PAGES, TABS, CALLS] = [50, 12, 200]
const program = fileURLToPath(new URL('../dashboards.ts', import.meta.url))
const password = 'correct horse battery'
const chromiumPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  existsSync,
)
const quick = {
  version: 'v0.1',
  name: 'quick',
  steps: [{ name: 'one', action: 'cmd.run', args: { cmd: 'true' } }],
}

/** Measures 50 open dashboards on one hub, 12 tabs of one browser, and a list while much happens. */
export async function dashboards(hub: BenchHub): Promise<Row[]> {
  await hub.client.users.create({ name: 'pages', password, role: 'admin' })
  const steps = [{ name: 'asks', action: 'approval.wait' }]
  const { run_id } = await hub.client.runs.create({ workflow: { version: 'v0.1', name: 'open', steps } })
  try {
    const rows = await manyPages(hub, run_id)
    if (chromiumPath === undefined) return rows
    return [...rows, ...(await inBrowser(hub, run_id, chromiumPath))]
  } finally {
    await hub.client.runs.cancel(run_id)
  }
}

async function manyPages(hub: BenchHub, runId: string): Promise<Row[]> {
  // Warm up first, so that only the cost of the pages is measured.
  await underLoad(hub)
  const config = { url: hub.url, count: PAGES, runId, username: 'pages', password }
  const child = spawn(process.execPath, [program, JSON.stringify(config)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  try {
    const printed = async (word: string): Promise<void> => {
      const [line] = await Promise.race([once(child.stdout!, 'data'), once(child, 'close')])
      if (String(line).trim() !== word) throw new Error(`The dashboards ended: ${line}`)
    }
    // Checking a password takes memory, with or without an open page.
    await printed('in')
    const alone = await underLoad(hub)
    const beforeMb = await residentMb(hub.hubPid)
    child.stdin!.write('open\n')
    await printed('there')
    const delays = await underLoad(hub)
    const openMb = await residentMb(hub.hubPid)
    const [p95, p95Alone] = [quantile(delays, 0.95), quantile(alone, 0.95)]
    return [
      {
        name: `${PAGES} open dashboards, memory of the hub`,
        unit: 'MB',
        value: openMb - beforeMb,
        budget: { what: '<= 50 MB', holds: openMb - beforeMb <= 50 },
        details: { 'before, MB': beforeMb },
      },
      {
        name: 'a list of runs meanwhile, as runs come and go, p95',
        unit: 'ms',
        value: p95,
        baseline: { what: 'without dashboards', value: p95Alone },
        budget: { what: '<= 50 ms', holds: p95 <= 50 },
        details: { p50: quantile(delays, 0.5), 'p50 without': quantile(alone, 0.5) },
      },
    ]
  } finally {
    child.stdin!.end()
    await (child.exitCode ?? once(child, 'close'))
  }
}

/** Returns how long a list takes, in ms, while runs start and end all the time. */
async function underLoad({ client }: BenchHub): Promise<number[]> {
  let isOver = false
  const load = (async () => {
    while (!isOver) {
      await client.runs.create({ workflow: quick })
      await sleep(50)
    }
  })()
  const delays: number[] = []
  for (let call = 0; call < CALLS; call++) {
    delays.push(await timed(() => client.runs.list({ limit: 20 })))
    await sleep(20)
  }
  isOver = true
  await load
  return delays
}

async function inBrowser(hub: BenchHub, runId: string, executablePath: string): Promise<Row[]> {
  const browser = await chromium.launch({ executablePath })
  try {
    const context = await browser.newContext({ viewport: { width: 1280, height: 800 } })
    const first = await context.newPage()
    await first.goto(`${hub.url}/login`)
    await first.getByLabel('Name').fill('pages')
    await first.getByLabel('Password', { exact: true }).fill(password)
    await first.keyboard.press('Enter')
    await first.waitForURL('**/runs')
    const live = (page: Page) => page.getByText('live', { exact: true }).first().waitFor()
    const oneMs = await timed(async () => {
      await first.goto(`${hub.url}/runs/${runId}`)
      await live(first)
    })
    const rest = await Promise.all(Array.from({ length: TABS - 1 }, () => context.newPage()))
    const allMs = await timed(() =>
      Promise.all(
        [first, ...rest].map(async (page) => {
          await page.goto(`${hub.url}/runs/${runId}`)
          await live(page)
        }),
      ),
    )
    await Promise.all(rest.map((page) => page.close()))
    return [
      {
        name: `${TABS} tabs over HTTP/1.1, until all are live`,
        unit: 'ms',
        value: allMs,
        baseline: { what: 'one tab', value: oneMs },
        budget: { what: '<= 10,000 ms', holds: allMs <= 10_000 },
      },
      await busyList(hub, first),
    ]
  } finally {
    await browser.close()
  }
}

/** Measures the list of runs under a pointer, while runs start, continue and end as fast as they can. */
async function busyList({ url, client }: BenchHub, page: Page): Promise<Row> {
  await makeLongRuns(client, 12)
  await watchBusyRows(page)
  await page.goto(`${url}/runs`)
  await restOn(page, page.locator('[data-run]').nth(5))
  const stop = makeManyRuns(client)
  await sleep(10_000)
  const { rows, longMs, frames, late, under } = await busyRows(page)
  await stop()
  const share = (100 * late) / Math.max(1, frames)
  return {
    name: 'list under 200 rows a second and more: frames of more than 34 ms',
    unit: '%',
    value: share,
    budget: { what: '<= 10 %', holds: share <= 10 && rows >= 2000 && under.length === 1 },
    details: {
      'rows a second': rows / 10,
      'longest task, ms': longMs,
      frames,
      'rows that were under the pointer': under.length,
    },
  }
}
