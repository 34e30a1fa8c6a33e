import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { openPage, password, skip, startBrowser } from '../support/web/browser.ts'

test('a running run is first on the page and the command line, no matter how many have ended since', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  const { client, url, home } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const end = join(home, 'end')
  const cmd = `while [ ! -e '${end}' ]; do sleep 0.05; done`
  const first = (await client.runs.create({ yaml: workflowText([{ name: 'one', cmd }], { name: 'long' }) }))
    .run_id
  const short = { version: 'v0.1' as const, name: 'short', steps: [{ name: 'one', action: 'noop' as const }] }
  let last = ''
  for (let made = 0; made < 110; made++) last = (await client.runs.create({ workflow: short })).run_id
  await programs.ended(last)
  const { runs } = await client.runs.list({ sort: 'active', limit: 1 })
  assert.equal(runs[0]!.run_id, first)
  const listed = await programs.call('runs', 'list', '--limit', '2')
  assert.match(listed.stdout.split('\n')[1]!, new RegExp(`^${first}`))

  const page = await openPage(t, browser, programs)
  await page.goto(`${url}/runs`)
  await page.getByText('111 runs', { exact: true }).waitFor()
  await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
  const goingOn = page.getByRole('region', { name: 'In progress' })
  const today = page.getByRole('region', { name: /Today|Yesterday/ }).last()
  const row = page.locator(`[data-run="${first}"]`)
  assert.equal(await page.locator('[data-run]').first().getAttribute('data-run'), first)

  await t.test('a run that ends stays under the pointer, and moves to its day afterwards', async () => {
    await row.hover()
    const place = await row.boundingBox()
    writeFileSync(end, '')
    await row.getByText('success').last().waitFor()
    assert.deepEqual(await row.boundingBox(), place)
    assert.equal(await goingOn.locator('[data-run]').count(), 1)
    await page.mouse.move(0, 0)
    await goingOn.waitFor({ state: 'detached' })
    // It began before all loaded runs.
    const ids = await today
      .locator('[data-run]')
      .evaluateAll((rows) => rows.map((one) => one.getAttribute('data-run')))
    assert.equal(ids.at(-1), first)
  })

  await t.test('older pages have each run once', async () => {
    await page.getByRole('button', { name: 'Older runs' }).click()
    await eventually('all of them', async () => (await page.locator('[data-run]').count()) === 111)
    assert.equal(await row.count(), 1)
    assert.equal(await page.locator('[data-run]').last().getAttribute('data-run'), first)
  })
})

/** Answers a list of the API with 450 rows, in pages of 100. */
const answerMany = (page: Page, path: string, key: string, row: (at: number) => object) =>
  page.route(
    (address) => address.pathname === path && address.searchParams.get('limit') === '100',
    async (route) => {
      const from = Number(new URL(route.request().url()).searchParams.get('cursor') ?? 0)
      const rows = Array.from({ length: Math.min(100, 450 - from) }, (_, at) => row(from + at))
      await route.fulfill({ json: { [key]: rows, ...(from < 400 && { next_cursor: `${from + 100}` }) } })
    },
  )
const ended = (at: number) => new Date(Date.UTC(2026, 0, 1) - at * 60_000).toISOString()

test('lists of sessions and tasks have at most 300 rows in the page, however many pages you load', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, browser, programs)
  await answerMany(page, '/api/runs', 'runs', (at) => ({
    ...{
      run_id: `run_${at}`,
      blueprint: 'agent',
      workflow_name: `talk ${at}`,
      status: 'success',
      owner: 'ann',
    },
    ...{ created_at: ended(at), started_at: ended(at), finished_at: ended(at) },
  }))
  await answerMany(page, '/api/tasks', 'tasks', (at) => ({
    ...{
      id: `task_${at}`,
      task_id: `own-${at}`,
      title: `task ${at}`,
      state: 'done',
      owner: 'ann',
      repo: 'a/b',
    },
    ...{ agent: 'codex', created_at: ended(at), updated_at: ended(at), try_count: 1, spec_name: '' },
  }))
  for (const [what, path, attribute] of [
    ['sessions', '/sessions', 'data-run'],
    ['tasks', '/tasks', 'data-task'],
  ] as const) {
    await page.goto(`${programs.url}${path}`)
    const rows = page.locator(`[${attribute}]`)
    const ids = () =>
      rows.evaluateAll((all, name) => all.map((one) => one.getAttribute(name)!.replace(/\D/g, '')), attribute)
    const shows = (name: string, from: number, to: number) =>
      eventually(`${what} ${name}`, async () => {
        const all = await ids()
        return all[0] === `${from}` && all.at(-1) === `${to}` && all.length === to - from + 1
      })
    const older = page.getByRole('button', { name: `Older ${what}` })
    await shows('at first', 0, 99)
    for (const to of [199, 299]) {
      await older.click()
      await shows('of another page', 0, to)
    }
    await older.click()
    await shows('without the newest', 100, 399)
    await older.click()
    await shows('to the last', 150, 449)
    assert.equal(await older.count(), 0)
    await page.getByRole('button', { name: `Newer ${what}` }).click()
    await shows('back', 50, 349)
  }
})
