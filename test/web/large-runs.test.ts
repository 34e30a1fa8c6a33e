import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startPrograms } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const cmd = (text: string) => ({ action: 'cmd.run', args: { cmd: text } })
const workflow = (name: string, steps: Record<string, unknown>[]) => ({ version: 'v0.1', name, steps })
const sub = (inner: unknown) => ({ action: 'workflow.run', args: { workflow: inner } })
const upTo = (count: number) => Array.from({ length: count }, (_, index) => index)

test('runs with many instances, and runs within runs', { skip }, async (t) => {
  const programs = await startPrograms(t)
  const { client } = programs
  const browser = await startBrowser(t)
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const at = (id: string, rest = '') => `${programs.url}/runs/${id}${rest}`
  const done = async (of: Record<string, unknown>, vars = {}) => {
    const { run_id } = await client.runs.create({ workflow: of, vars })
    await programs.ended(run_id)
    return run_id
  }

  await t.test('of many instances the failed ones come first, and the others by page', async (t) => {
    const run = await done(
      workflow('reindex', [
        {
          name: 'shards',
          foreach: upTo(260),
          ...cmd('test $' + '{ITEM} -lt 215 || { echo torn $' + '{ITEM} >&2; exit 3; }'),
        },
      ]),
    )
    const page = await openPage(t, browser, programs)
    const sizes: number[] = []
    const requests: string[] = []
    page.on('response', async (response) => {
      const { pathname, search } = new URL(response.url())
      if (!pathname.startsWith(`/api/runs/${run}`)) return
      requests.push(pathname + search)
      sizes.push((await response.body().catch(() => Buffer.alloc(0))).length)
    })
    await page.goto(at(run))
    await page
      .getByText(/^torn 2\d\d$/)
      .first()
      .waitFor()
    const steps = page.getByRole('navigation', { name: 'Steps' })
    const rows = steps.getByRole('button', { name: /^(failed|success) 2\d\d / })
    await steps.getByRole('button', { name: '35 more' }).waitFor()
    assert.equal(await rows.count(), 10)
    assert.ok(requests.some((one) => one.endsWith(`${run}?instances=20`)))
    assert.equal(requests.filter((one) => one.includes('/events')).length, 0)
    assert.ok(sizes.reduce((sum, size) => sum + size, 0) < 100_000, requests.join(' '))
    await isAccessible(page, 'many instances')
    await steps.getByRole('button', { name: '35 more' }).click()
    await steps.getByRole('button', { name: /^failed 259 / }).waitFor()
    assert.equal(await rows.count(), 45)

    // The letter keys go through all failed instances, not only those that came with the run.
    const seen = new Set<string | null>()
    for (let count = 0; count < 45; count++) {
      const before = page.url()
      await page.keyboard.press('f')
      await page.waitForURL((url) => url.href !== before)
      seen.add(new URL(page.url()).searchParams.get('step'))
    }
    assert.equal(seen.size, 45)

    const filter = steps.getByRole('searchbox', { name: 'Filter instances of shards' })
    await filter.fill('21')
    await steps.getByRole('button', { name: /7 success/ }).waitFor()
    await steps.getByRole('button', { name: /^success 210 / }).click()
    await page.waitForURL(/step=shards(@|%40)local(!|%21)210/)
    await filter.fill('nowhere')
    await steps.getByText('No instances match. 260 without the filter.').waitFor()
    assert.equal(new URL(page.url()).searchParams.get('q'), 'nowhere')

    // The timeline has the same filter, with statuses.
    await steps.getByRole('button', { name: 'Timeline' }).click()
    const timeline = page.getByRole('main', { name: 'Timeline' })
    await timeline.getByText('No instances match. 260 without the filter.').waitFor()
    const text = timeline.getByRole('searchbox', { name: 'Filter instances' })
    await text.fill('21')
    await timeline.getByRole('button', { name: /^success 7 success/ }).waitFor()
    await timeline.getByRole('button', { name: /^failed 219/ }).waitFor()
    const statuses = timeline.getByRole('group', { name: 'Instance status' })
    await statuses.getByRole('button', { name: 'success 215' }).click()
    await timeline.getByRole('button', { name: /^failed 219/ }).waitFor({ state: 'detached' })
    await isAccessible(page, 'a filtered timeline')
    await page.reload()
    await timeline.getByRole('button', { name: /^success 214/ }).waitFor()
    assert.equal(await text.inputValue(), '21')
    await text.fill('')
    await timeline.getByRole('button', { name: '205 more' }).click()
    await timeline.getByRole('button', { name: /^success 99/ }).waitFor()
    await timeline.getByRole('button', { name: /^success 21 / }).click()
    await page.getByRole('region', { name: 'Step shards@local!21' }).waitFor()

    await page.goto(at(run, '?step=shards@local!17&tab=events'))
    await page.getByRole('heading', { name: 'shards' }).waitFor()
    await page.getByRole('region', { name: 'Step shards@local!17' }).waitFor()
    const events = page.getByRole('list', { name: 'Events' })
    await events.getByText(/^The attempt (succeeded|failed)/).waitFor()
    await events.getByText(/^The attempt (succeeded|failed)/).click()
    await events.getByText('"type": "attempt.finished"').waitFor()
    assert.ok(requests.at(-1)!.includes('/events?attempt='), requests.at(-1))
    await page.goto(at(run, '?step=shards@local!999'))
    await page
      .getByText(/^torn 2\d\d$/)
      .first()
      .waitFor()
  })

  await t.test('counts are updated while it runs', async (t) => {
    const { run_id } = await client.runs.create({
      workflow: workflow('live', [
        { name: 'ask', action: 'approval.wait' },
        { name: 'many', foreach: upTo(60), ...cmd('true') },
      ]),
    })
    const page = await openPage(t, browser, programs)
    await page.goto(at(run_id))
    await page.getByRole('region', { name: 'Waiting for your answer' }).waitFor()
    await page.getByRole('navigation', { name: 'Steps' }).getByRole('button', { name: 'many' }).click()
    await page.getByText('Not started yet.').waitFor()
    await isAccessible(page, 'a step that has not begun')
    await client.runs.approve(run_id, { step: 'ask' })
    await page.getByRole('button', { name: '60 success' }).waitFor()
  })

  await t.test('a step without instances opens and says why', async (t) => {
    const run = await done(
      workflow('without', [
        { name: 'first', ...cmd('echo one') },
        { name: 'rarely', when: '1 == 2', ...cmd('echo') },
        { name: 'none', foreach: [], ...cmd('echo') },
        { name: 'breaks', ...cmd('exit 1') },
        { name: 'after', ...cmd('echo') },
      ]),
    )
    const page = await openPage(t, browser, programs)
    await page.goto(at(run, '?view=list'))
    const steps = page.getByRole('navigation', { name: 'Steps' })
    await steps.getByRole('button', { name: 'rarely' }).click()
    await page.getByText('its condition is false: 1 == 2').waitFor()
    await isAccessible(page, 'a skipped step')
    await page.getByRole('button', { name: 'Run it anyway…' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('--run-anyway rarely').waitFor()
    await dialog.getByRole('button', { name: 'Not now' }).click()
    await page.locator('dialog').waitFor({ state: 'detached' })
    await steps.getByRole('button', { name: 'none' }).click()
    await page.getByText('Nothing to do').waitFor()
    await steps.getByRole('button', { name: 'after' }).click()
    await page.getByText('Did not run: "breaks" failed').waitFor()
    await page.getByRole('button', { name: 'failed breaks' }).last().click()
    await page.waitForURL(/step=breaks/)
  })

  await t.test('sub-runs open below their step, three deep, and are retried there', async (t) => {
    const deepest = workflow('deepest', [{ name: 'end', ...cmd('echo') }])
    const third = workflow('rollout', [
      { name: 'drain', ...cmd('echo no route >&2; exit 4') },
      { name: 'deeper', ...sub(deepest) },
    ])
    const second = workflow('region', [
      { name: 'prepare', ...cmd('echo ready here') },
      { name: 'roll', ...sub(third) },
    ])
    const run = await done(workflow('deploy', [{ name: 'eu', ...sub(second) }]))
    const page = await openPage(t, browser, programs)
    await page.goto(at(run))
    await page.getByText('no route', { exact: true }).first().waitFor()
    const steps = page.getByRole('navigation', { name: 'Steps' })
    await steps
      .getByRole('list', { name: 'Steps of rollout' })
      .getByRole('button', { name: 'drain' })
      .waitFor()
    await isAccessible(page, 'sub-runs')
    await steps.getByRole('button', { name: 'prepare' }).click()
    await page.getByText('ready here', { exact: true }).waitFor()
    assert.equal(new URL(page.url()).searchParams.get('step'), 'eu > prepare')
    await page.reload()
    await page.getByText('ready here', { exact: true }).waitFor()
    await page.goto(at(run, '?step=eu > roll > drain'))
    await page.getByRole('button', { name: 'Retry drain' }).click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText(`--step 'eu > roll > drain'`).waitFor()
    await dialog.getByRole('button', { name: 'Start attempt 2' }).click()
    await page.getByText('attempt 2 of 2').waitFor()
    await page.getByText('no route', { exact: true }).first().waitFor()
    assert.ok(!page.url().includes(run))

    const well = workflow('l5', [{ name: 'l5', ...cmd('echo deep') }])
    const nested = [4, 3, 2, 1].reduce(
      (inner, level) => workflow(`l${level}`, [{ name: `l${level}`, ...sub(inner) }]),
      well,
    )
    const deep = await done(nested)
    await page.goto(at(deep, '?step=l1 > l2 > l3 > l4'))
    await steps.getByRole('link', { name: 'Open run l5' }).click()
    await page.getByText('deep', { exact: true }).waitFor()
    assert.ok(!page.url().includes(deep))
  })

  await t.test('a sub-run can be canceled separately', async (t) => {
    const waiting = workflow('asks', [{ name: 'ask', action: 'approval.wait' }])
    const { run_id } = await client.runs.create({
      workflow: workflow('outer', [{ name: 'inner', ...sub(waiting) }]),
    })
    const page = await openPage(t, browser, programs)
    await page.goto(at(run_id))
    await page.getByRole('button', { name: 'Cancel this run…' }).click()
    await page.getByRole('dialog').getByText('Cancel asks?').waitFor()
    await page.getByRole('dialog').getByRole('button', { name: 'Cancel run' }).click()
    const { status, steps } = await programs.ended(run_id)
    assert.deepEqual([status, steps[0]!.instances[0]!.status], ['failed', 'canceled'])
    await page
      .getByRole('navigation', { name: 'Steps' })
      .getByRole('button', { name: /canceled/ })
      .first()
      .waitFor()
  })

  await t.test('the header links to the last good run, if there is one', async (t) => {
    const release = {
      ...workflow('release', [{ name: 'check', ...cmd('test $' + '{OK} = 1') }]),
      inputs: { OK: { default: '1' } },
    }
    const good = await done(release)
    const bad = await done(release, { OK: 2 })
    const page = await openPage(t, browser, programs)
    await page.goto(at(bad))
    await page.getByRole('link', { name: 'Compare with the last good run' }).click()
    await page.getByRole('main', { name: 'Compare' }).getByRole('rowheader', { name: 'check' }).waitFor()
    await isAccessible(page, 'the head of a run')
    const answered = page.waitForResponse(/[/]api[/]runs[/].*[/]last-good$/)
    await page.goto(at(good))
    assert.deepEqual(await (await answered).json(), {})
    await page.getByRole('button', { name: 'Run again' }).first().waitFor()
    assert.equal(await page.getByText('Compare with the last good run').count(), 0)
  })
})
