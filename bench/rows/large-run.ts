import { type Browser, chromium } from 'playwright-core'
import { browserPath } from '../../test/support/web/browser.ts'
import type { BenchHub } from '../hub.ts'
import { median, type Row, timed } from '../measure.ts'

const INSTANCES = 5000
const BROKEN = 4321
const ROUNDS = 5
const password = 'correct horse battery'
const command = (text: string) => ({ action: 'cmd.run', args: { cmd: text } })

/**
 * Measures a run with a step of 5,000 instances, of which one failed: its page in Chromium, from the address to the log
 * of that instance, and the answer of the API. Each is measured as if nobody had asked for the run lately.
 */
export async function largeRun({ client, url }: BenchHub): Promise<Row[]> {
  if (browserPath === undefined) {
    console.log('left out large-run: no Chromium is installed (scripts/ci-packages.sh chromium)')
    return []
  }
  const run = async (step: Record<string, unknown>) => {
    const steps = [{ name: 'shards', ...step }]
    const { run_id } = await client.runs.create({ workflow: { version: 'v0.1', name: 'reindex', steps } })
    for await (const _ of client.events(run_id, { outputBytes: 0 }));
    return run_id
  }
  const one = await run(command('echo torn >&2; exit 3'))
  const many = await run({
    foreach: Array.from({ length: INSTANCES }, (_, index) => index),
    ...command(`test $\{ITEM} != ${BROKEN} || { echo torn >&2; exit 3; }`),
  })
  const others: string[] = []
  for (let index = 0; index < 4; index++) others.push(await run(command('true')))
  /** Makes the hub forget the run by asking for others: it keeps only some ended runs folded. */
  const forget = async () => {
    for (const other of others) await client.runs.get(other)
  }
  await client.users.create({ name: 'reader', password, role: 'admin' })
  const browser = await chromium.launch({ executablePath: browserPath })
  try {
    const opened = await openPages(browser, { url, one, many, forget })
    const answers: number[] = []
    const whole: number[] = []
    for (let round = 0; round < ROUNDS; round++) {
      await forget()
      whole.push(await timed(() => client.runs.get(many)))
      await forget()
      answers.push(await timed(() => client.runs.get(many, { instances: 20 })))
    }
    const bytes = JSON.stringify(await client.runs.get(many, { instances: 20 })).length
    const wholeBytes = JSON.stringify(await client.runs.get(many)).length
    const row = (
      name: string,
      unit: string,
      figures: { value: number; baseline: number; what: string; most: number },
      details?: Record<string, number>,
    ): Row => ({
      ...{ name, unit, value: figures.value, details },
      baseline: { what: figures.what, value: figures.baseline },
      budget: { what: `<= ${figures.most} ${unit}`, holds: figures.value <= figures.most },
    })
    const same = 'the page of a run with one instance'
    const { ms, kb, oneMs, oneKb } = opened
    return [
      row(`page of a run with ${INSTANCES} instances, to the log of the one that failed`, 'ms', {
        ...{ value: ms, baseline: oneMs, what: same, most: 300 },
      }),
      row('what it takes over the wire', 'KB', { value: kb, baseline: oneKb, what: same, most: 200 }),
      row(
        "the API's answer, the run folded anew",
        'ms',
        { value: median(answers), baseline: median(whole), what: 'with all instances', most: 300 },
        { KB: bytes / 1000, 'KB with all instances': wholeBytes / 1000 },
      ),
    ]
  } finally {
    await browser.close()
  }
}

interface Opened {
  ms: number
  kb: number
  oneMs: number
  oneKb: number
}

/** Opens both pages by turns, in a browser that already has the dashboard's files. */
async function openPages(
  browser: Browser,
  { url, one, many, forget }: { url: string; one: string; many: string; forget: () => Promise<void> },
): Promise<Opened> {
  const context = await browser.newContext({ viewport: { width: 1440, height: 900 } })
  const page = await context.newPage()
  const session = await context.newCDPSession(page)
  await session.send('Network.enable')
  let received = 0
  session.on('Network.dataReceived', ({ encodedDataLength }) => (received += encodedDataLength))
  await page.goto(`${url}/login`)
  await page.getByLabel('Name').fill('reader')
  await page.getByLabel('Password', { exact: true }).fill(password)
  await page.keyboard.press('Enter')
  await page.waitForURL('**/runs')
  const open = async (id: string) => {
    await page.goto('about:blank')
    await forget()
    received = 0
    const ms = await timed(async () => {
      await page.goto(`${url}/runs/${id}`, { waitUntil: 'commit' })
      await page.getByText('torn', { exact: true }).waitFor()
    })
    // Until the map below the failed instances, and the live connection, are there too.
    await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
    if (id === many) await page.getByRole('slider').waitFor()
    return { ms, kb: received / 1000 }
  }
  for (const id of [one, many]) await open(id)
  const [small, large]: Awaited<ReturnType<typeof open>>[][] = [[], []]
  for (let round = 0; round < ROUNDS; round++) {
    small!.push(await open(one))
    large!.push(await open(many))
  }
  const of = (all: typeof small, figure: 'ms' | 'kb') => median(all!.map((each) => each[figure]))
  return { ms: of(large, 'ms'), kb: of(large, 'kb'), oneMs: of(small, 'ms'), oneKb: of(small, 'kb') }
}
