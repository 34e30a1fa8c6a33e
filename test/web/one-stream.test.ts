import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { chromium, type Page } from 'playwright-core'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { browserPath, logIn, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

/** A step that prints a line, then waits for the file of that name. */
const part = (line: string, file: string) => `echo '${line}'; while [ ! -e '${file}' ]; do sleep 0.05; done`

/** Whether the tab's connection is the one that all share. */
const leads = async (page: Page): Promise<boolean> => {
  const held = (await page.evaluate(
    'navigator.locks.query().then(({ held }) => held.map(({ clientId }) => clientId))',
  )) as string[]
  const mine = (await page.evaluate(
    `navigator.locks.request('of-this-tab', () => navigator.locks.query().then(({ held }) => held.find(({ name }) => name === 'of-this-tab').clientId))`,
  )) as string
  return held.includes(mine)
}

test('twelve tabs of a browser show a live run to its end, through the end of the leading tab and of the hub', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const file = (name: string) => join(programs.home, name)
  const cmd = `${part('first', file('a'))}; ${part('second', file('b'))}; ${part('third', file('c'))}; echo last`
  const yaml = workflowText([{ name: 'long', cmd }])
  const { run_id } = await programs.client.runs.create({ yaml })
  const first = await openPage(t, browser, programs)
  const pages = [first]
  for (let tab = 1; tab < 12; tab++) pages.push(await first.context().newPage())
  let streams = 0
  first.context().on('request', (request) => {
    if (request.url().includes('/api/events?')) streams++
  })
  await Promise.all(pages.map((page) => page.goto(`${programs.url}/runs/${run_id}`)))
  const shown = (text: string) =>
    Promise.all(pages.map((page) => page.getByText(text, { exact: true }).waitFor({ timeout: 60_000 })))
  await shown('first')
  assert.ok(streams <= 2, `${streams} streams for 12 tabs`)

  const index = (await Promise.all(pages.map(leads))).indexOf(true)
  assert.ok(index >= 0)
  await pages.splice(index, 1)[0]!.close()
  writeFileSync(file('a'), '')
  await shown('second')

  await programs.kill('hub')
  writeFileSync(file('b'), '')
  await programs.startHub()
  await shown('third')
  writeFileSync(file('c'), '')
  await shown('last')
  await Promise.all(pages.map((page) => page.getByRole('img', { name: '1 of 1 step done' }).waitFor()))
  for (const page of pages)
    for (const line of ['first', 'second', 'third', 'last'])
      assert.equal(await page.getByText(line, { exact: true }).count(), 1, line)

  // Another run of all the tabs at once goes over the same stream.
  const { run_id: next } = await programs.client.runs.create({
    yaml: workflowText([{ name: 'one', cmd: 'echo next' }]),
  })
  await Promise.all(pages.slice(0, 4).map((page) => page.goto(`${programs.url}/runs/${next}`)))
  for (const page of pages.slice(0, 4)) await page.getByText('next', { exact: true }).waitFor()
})

test('without locks, over plain HTTP under a name, each tab has a stream of its own', { skip }, async (t) => {
  const programs = await startPrograms(t, { hubEnv: { ERRAND_HOST_ALLOW: 'errand.test' } })
  const browser = await chromium.launch({
    executablePath: browserPath,
    args: ['--host-resolver-rules=MAP errand.test 127.0.0.1'],
  })
  t.after(() => browser.close())
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const end = join(programs.home, 'end')
  const yaml = workflowText([{ name: 'long', cmd: `${part('begun', end)}; echo done` }])
  const { run_id } = await programs.client.runs.create({ yaml })
  const context = await browser.newContext()
  context.setDefaultTimeout(20_000)
  const [one, two] = [await context.newPage(), await context.newPage()]
  const url = programs.url.replace('127.0.0.1', 'errand.test')
  await one.goto(`${url}/login`)
  await logIn(one, password)
  await one.waitForURL('**/runs')
  assert.equal(await one.evaluate('isSecureContext'), false)
  for (const page of [one, two]) {
    await page.goto(`${url}/runs/${run_id}`)
    await page.getByText('begun', { exact: true }).waitFor()
  }
  await programs.kill('hub')
  writeFileSync(end, '')
  await programs.startHub()
  for (const page of [one, two]) await page.getByText('done', { exact: true }).first().waitFor()
  await eventually('the end in both', async () =>
    (
      await Promise.all([one, two].map((page) => page.getByRole('img', { name: '1 of 1 step done' }).count()))
    ).every((count) => count === 1),
  )
})
