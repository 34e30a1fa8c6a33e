import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { sized } from '../support/size.ts'
import { clientOf, isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'
import { busyRows, makeLongRuns, makeManyRuns, restOn, watchBusyRows } from '../support/web/busy-rows.ts'

test('runs are found by their inputs, counted, and changed together', { skip }, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const create = async (name: string, cmd: string, vars: Record<string, string> = {}) => {
    const yaml = workflowText([{ name: 'one', cmd }], { name })
    return (await programs.client.runs.create({ yaml, vars })).run_id
  }
  const end = join(programs.home, 'end')
  const wait = `while [ ! -e '${end}' ]; do sleep 0.05; done`
  const failed = [await create('nightly', 'exit 3', { region: 'eu', hostile: '<b>x</b>' })]
  failed.push(await create('nightly', 'exit 3', { region: 'us' }))
  const good = await create('build', 'true', { region: 'eu' })
  await Promise.all([...failed, good].map((id) => programs.ended(id)))
  const page = await openPage(t, browser, programs)
  const rows = () => page.locator('[data-run]').count()
  const field = page.getByLabel(/^Filter: words/)

  await t.test('words and chips are one filter, which is in the address with its count', async () => {
    await page.getByText('3 runs', { exact: true }).waitFor()
    await page.getByText('<b>x</b>', { exact: true }).waitFor()
    await field.fill('input.region:e')
    await page.locator('datalist option[value="input.region:eu"]').waitFor({ state: 'attached' })
    await field.fill('input.region:eu status:failed')
    await field.press('Enter')
    await page.waitForURL('**/runs?*input.region=eu*')
    await page.getByText('1 of 3', { exact: true }).waitFor()
    assert.equal(await rows(), 1)
    await isAccessible(page, 'a filtered list')
    await page.reload()
    await page.getByText('1 of 3', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Remove input.region: eu' }).click()
    await page.getByText('2 of 3', { exact: true }).waitFor()
  })

  await t.test('a filter without runs says which word excludes them', async () => {
    await page.goto(`${programs.url}/runs?status=canceled&workflow=nightly`)
    await page.getByText('No runs match').waitFor()
    await page.getByText(/^2 would match without/).waitFor()
    await page.getByRole('button', { name: 'Remove it' }).click()
    await page.waitForURL('**/runs?workflow=nightly')
    await page.getByText('2 of 3', { exact: true }).waitFor()
  })

  await t.test('new runs wait while the pointer is in the list, and the row under it stays', async () => {
    await page.goto(`${programs.url}/runs`)
    await page.getByText('3 runs', { exact: true }).waitFor()
    await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
    const row = page.locator(`[data-run="${good}"]`)
    await row.hover()
    const before = await row.boundingBox()
    await Promise.all(['a', 'b'].map((name) => create(name, wait)))
    const offer = page.getByRole('button', { name: '2 new runs' })
    await offer.waitFor()
    assert.equal(await rows(), 3)
    assert.deepEqual(await row.boundingBox(), before)
    await offer.click()
    await page.mouse.move(0, 0)
    await eventually('all five rows', async () => (await rows()) === 5)
  })

  await t.test('all matching runs are selected by keys and canceled; failed ones are retried', async () => {
    await page.goto(`${programs.url}/runs?status=running,queued`)
    await page.getByText('2 of 5', { exact: true }).waitFor()
    await page.locator('[data-run] a').first().focus()
    await page.keyboard.press('x')
    await page.getByRole('button', { name: 'Select all 2 matching runs' }).click()
    await page.getByText('2 selected', { exact: true }).waitFor()
    await isAccessible(page, 'a selection')
    await page.getByRole('button', { name: 'Cancel 2…' }).click()
    await page.getByText(/2 (running|queued)\./).waitFor()
    await page.getByRole('button', { name: 'Cancel 2 runs' }).click()
    await eventually('the end of both', async () => {
      const { by_status } = await programs.client.runs.counts()
      return by_status.canceled === 2
    })
    await page.goto(`${programs.url}/runs?kind=workflow`)
    await page.locator('[data-run]').nth(4).waitFor()
    // A failed row shows its exit code. The column heads sort.
    assert.equal((await page.locator('[data-run]').getByText('exit code 3').count()) > 0, true)
    const names = () => page.locator('[data-run] a').allTextContents()
    await page.getByRole('button', { name: 'Sort by Name' }).focus()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Sort by Name, ascending' }).waitFor()
    await eventually('the order', async () => {
      const found = await names()
      return (
        new URL(page.url()).searchParams.get('sort') === 'name' && found.join() === found.toSorted().join()
      )
    })
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Sort by Name, descending' }).waitFor()
    await page.keyboard.press('Enter')
    await page.getByRole('button', { name: 'Sort by Name', exact: true }).waitFor()
    assert.equal(new URL(page.url()).search, '?kind=workflow')
    await page.goto(`${programs.url}/runs?status=failed`)
    await page.getByText('2 of 5', { exact: true }).waitFor()
    await page.locator('[data-run] a').first().focus()
    await page.keyboard.press('Shift+ArrowDown')
    await page.getByRole('button', { name: 'Retry 2 failed…' }).click()
    await page.getByRole('button', { name: 'Retry 2 runs' }).click()
    await eventually('two more runs', async () => (await programs.client.runs.counts()).total === 7)
  })
  writeFileSync(end, '')
})

test('however much happens at the hub, nothing under the pointer moves, and the page says what came', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const ann = await clientOf(programs, 'ann')
  const { run_id: first } = await ann.runs.create({
    yaml: workflowText([{ name: 'one', action: 'approval.wait' }], { name: 'first' }),
  })
  await makeLongRuns(ann, 12)
  const page = await openPage(t, browser, programs)
  await watchBusyRows(page)
  await page.goto(`${programs.url}/runs`)
  await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
  const needs = page.getByRole('region', { name: 'Needs you' })
  await needs.getByText('first').waitFor()
  const row = page.locator('[data-run]').nth(3)
  await restOn(page, row)
  const stop = makeManyRuns(ann)
  // A run that no longer asks keeps its place, too.
  await ann.runs.cancel(first)
  await needs.getByText('No longer asking').waitFor()
  const shown = () =>
    page.getByRole('button', { name: /^\d+ more need you · \d+ more failed · \d+ new runs$/ })
  const rows = sized('rows that change under the pointer', 600, 2_000)
  await eventually(`${rows} rows that have changed`, async () => (await busyRows(page)).rows >= rows)
  await shown().waitFor()
  await eventually('the end of a long run', async () => (await row.getByText(/success|asks/).count()) > 0)
  await stop()
  const { under } = await busyRows(page)
  assert.equal(under.length, 1, under.join(', '))
  assert.ok(under[0]!.startsWith((await row.getAttribute('data-run'))!), under[0])
  await shown().click()
  await page.locator('[data-run]').getByText('good', { exact: true }).first().waitFor()
  await needs
    .getByText(/^× \d+$/)
    .first()
    .waitFor()
  await needs.getByText('first').waitFor({ state: 'detached' })
})

test('the command line counts runs, and cancels those of a filter after a confirmation', async (t) => {
  const programs = await startPrograms(t)
  const yaml = workflowText([{ name: 'one', cmd: 'sleep 600' }], { name: 'long' })
  for (const region of ['eu', 'eu', 'us']) await programs.client.runs.create({ yaml, vars: { region } })
  const open = async () =>
    (await programs.call('runs', 'list', '--counts', '--json', '--input', 'region=eu')).stdout
  assert.equal(JSON.parse(await open()).total, 2)
  const result = await programs.call('runs', 'cancel', '--filter', 'input.region:eu')
  assert.equal(result.code, 2)
  assert.match(result.stderr, /--yes/)
  const done = await programs.call('runs', 'cancel', '--filter', 'input.region:eu', '--yes', '--json')
  assert.deepEqual([done.code, JSON.parse(done.stdout).done], [0, 2])
  await eventually('the end of both', async () => JSON.parse(await open()).by_status.canceled === 2)
  assert.equal((await programs.client.runs.counts({ status: 'running,queued' })).total, 1)
  const again = await programs.call('runs', 'cancel', '--filter', 'input.region:eu', '--yes')
  assert.match(again.stdout, /There are no matching runs to cancel/)
})
