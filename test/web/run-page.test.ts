import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const cmd = (text: string) => ({ action: 'cmd.run', args: { cmd: text } })
const release = {
  version: 'v0.1',
  name: 'release',
  inputs: { version: { default: '1' } },
  steps: [
    { name: 'checkout', needs: [], ...cmd('echo checked out') },
    { name: 'build', needs: ['checkout'], ...cmd('echo built') },
    {
      name: 'migrate',
      needs: ['checkout'],
      ...cmd('echo migrated'),
      rollback: cmd('echo undone'),
    },
    { name: 'rarely', needs: ['build'], when: '$' + '{version} == "never"', ...cmd('echo') },
    {
      name: 'smoke',
      needs: ['build', 'migrate'],
      matrix: { REGION: ['eu', 'us'] },
      ...cmd('test $' + '{version} != 2 || test $' + '{REGION} != us || { echo broke >&2; exit 1; }'),
    },
    { name: 'ship', needs: ['smoke'], ...cmd('echo shipped') },
  ],
  finally: [{ name: 'notify', ...cmd('echo told') }],
}

test('the page of a run', { skip }, async (t) => {
  const programs = await startPrograms(t, { runnerEnv: { ERRAND_MADE_BOX: 'pod' } })
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const good = await programs.client.runs.create({ workflow: release })
  await programs.ended(good.run_id)
  const bad = await programs.client.runs.create({ workflow: release, vars: { version: 2 } })
  await programs.ended(bad.run_id)
  const at = (id: string, rest = '') => `${programs.url}/runs/${id}${rest}`

  await t.test('the graph draws taken edges solid, and keys move along them', async (t) => {
    const page = await openPage(t, browser, programs)
    await page.goto(at(bad.run_id, '?view=graph'))
    const graph = page.getByRole('listbox', { name: 'Step graph' })
    const node = (name: RegExp) => graph.getByRole('option', { name })
    await node(/^smoke, failed/).waitFor()
    assert.equal(await node(/^smoke/).getAttribute('aria-selected'), 'true')
    await node(/^rarely, skipped, its condition is false, if /).waitFor()
    await node(/^rollback: migrate, success/).waitFor()
    await node(/^finally: notify, success/).waitFor()
    assert.equal(await graph.getByRole('option').count(), 8)
    const edges = await graph
      .locator('path[data-edge]')
      .evaluateAll((all) => all.map((one) => one.getAttribute('data-edge')))
    assert.equal(edges.filter((one) => one === 'ahead').length, 4)
    assert.ok(edges.filter((one) => one === 'travelled').length >= 6)
    await node(/^smoke/).focus()
    await page.keyboard.press('ArrowLeft')
    await page.keyboard.press('ArrowLeft')
    assert.match((await page.locator(':focus').getAttribute('aria-label')) ?? '', /^checkout/)
    await page.keyboard.press('Enter')
    await page.getByText('checked out', { exact: true }).waitFor()
    assert.match(page.url(), /step=checkout/)
    await isAccessible(page, 'graph')
    // In less space, the graph is fitted again. If it was moved, it keeps the step with the keyboard focus in view.
    for (const move of [false, true]) {
      await page.setViewportSize({ width: 1440, height: 900 })
      if (move) {
        await graph.hover({ position: { x: 5, y: 5 } })
        await page.mouse.wheel(-900, 0)
      }
      await page.setViewportSize({ width: 720, height: 450 })
      await eventually('the step is in view', async () => {
        const [box, one] = [await graph.boundingBox(), await node(/^checkout/).boundingBox()]
        return one!.x >= box!.x && one!.x + one!.width <= box!.x + box!.width
      })
    }
  })

  await t.test('a view is in the address, and letters switch it and go to the failure', async (t) => {
    const page = await openPage(t, browser, programs)
    await page.goto(at(bad.run_id, '?step=checkout'))
    await page.getByRole('listbox', { name: 'Step graph' }).waitFor()
    await page.keyboard.press('2')
    await page.waitForURL('**view=list**')
    assert.equal(await page.getByRole('listbox').count(), 0)
    await page.keyboard.press('f')
    await page.getByText('broke', { exact: true }).first().waitFor()
    assert.match(page.url(), /view=list.*step=smoke|step=smoke.*view=list/)
    await isAccessible(page, 'list')
    await page.goBack()
    await page.getByText('checked out', { exact: true }).waitFor()
    await page.keyboard.press('1')
    await page.getByRole('listbox', { name: 'Step graph' }).waitFor()
  })
  await t.test(
    'the timeline has bars, the last good run beneath and the critical path, and a table',
    async (t) => {
      const page = await openPage(t, browser, programs)
      await page.goto(at(bad.run_id, '?view=timeline'))
      const timeline = page.getByRole('main', { name: 'Timeline' })
      await timeline.getByText(/^last good run, /).waitFor()
      assert.equal(await timeline.locator('[data-last-good]').count(), 6)
      assert.ok((await timeline.locator('[data-critical]').count()) >= 3)
      await timeline
        .getByTitle(/^failed, /)
        .first()
        .waitFor()
      await isAccessible(page, 'timeline')
      await timeline.getByRole('button', { name: 'Table' }).click()
      const row = timeline.getByRole('row').filter({ hasText: 'checkout' })
      assert.equal(await row.getByRole('cell').first().textContent(), 'success')
      await isAccessible(page, 'the table of a timeline')
      await timeline.getByRole('button', { name: 'Bars' }).click()
      await timeline.getByRole('button', { name: /REGION=us/ }).click()
      await page.getByText('broke', { exact: true }).first().waitFor()
    },
  )

  await t.test('hundreds of instances become a map and folds, with few nodes in the page', async (t) => {
    const { run_id } = await programs.client.runs.create({
      workflow: {
        version: 'v0.1',
        name: 'reindex',
        steps: [
          {
            name: 'shards',
            foreach: Array.from({ length: 240 }, (_, shard) => shard),
            ...cmd('test $' + '{ITEM} != 41 || { echo torn >&2; exit 1; }'),
          },
        ],
      },
    })
    await programs.ended(run_id)
    const page = await openPage(t, browser, programs)
    await page.goto(at(run_id))
    await page
      .getByRole('region', { name: /^Log of / })
      .getByText('torn', { exact: true })
      .waitFor()
    const map = page.getByRole('slider', { name: 'Map of 240 instances' })
    assert.equal(await map.getAttribute('aria-valuetext'), '42: 1 failed')
    await map.focus()
    await page.keyboard.press('ArrowLeft')
    await page.keyboard.press('Enter')
    await page.waitForURL(/step=shards(@|%40)local(!|%21)40/)
    assert.ok((await page.locator('main *').count()) < 300)
    await page.keyboard.press('3')
    await page
      .getByRole('main', { name: 'Timeline' })
      .getByRole('button', { name: /239 success/ })
      .waitFor()
    assert.ok((await page.locator('body *').count()) < 400)
    await isAccessible(page, 'a map')
  })
  await t.test('files that a step stored open in place as text, and HTML can only be saved', async (t) => {
    const { run_id } = await programs.client.runs.create({
      workflow: {
        version: 'v0.1',
        name: 'evidence',
        steps: [
          {
            name: 'test',
            action: 'shell.run',
            args: {
              script: [
                'mkdir out; cd out',
                "printf '# Report\\n\\n**All** is <b>well</b>' > report.md",
                "printf '<script>window.taken=1</script>' > page.html",
                `printf '<testsuite><testcase name="ok"/><testcase name="bad"><failure message="no luck"/></testcase></testsuite>' > junit.xml`,
                'printf iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg== | base64 -d > dot.png',
              ].join('\n'),
            },
            artifacts: ['out/*'],
          },
        ],
      },
    })
    await programs.ended(run_id)
    const page = await openPage(t, browser, programs)
    await page.goto(at(run_id, '?tab=artifacts'))
    const files = page.getByRole('region', { name: 'Artifacts' })
    await files.getByRole('button', { name: 'out/report.md', exact: true }).click()
    await files.getByRole('heading', { name: 'Report' }).waitFor()
    await files.getByText('is <b>well</b>').waitFor()
    await files.getByRole('button', { name: 'out/junit.xml', exact: true }).click()
    await files.getByText('1 passed').waitFor()
    await files.getByText('no luck').waitFor()
    await files.getByRole('button', { name: 'out/dot.png', exact: true }).click()
    const picture = files.getByRole('img', { name: 'out/dot.png' })
    await picture.waitFor()
    assert.equal(
      await page.evaluate(
        `(async (image) => (await image.decode(), image.naturalWidth))(document.querySelector('main img[alt="out/dot.png"]'))`,
      ),
      1,
    )
    assert.equal(await files.getByRole('button', { name: 'out/page.html', exact: true }).count(), 0)
    const saved = page.waitForEvent('download')
    await files.getByRole('link', { name: 'Download out/page.html' }).click()
    assert.equal((await saved).suggestedFilename(), 'page.html')
    assert.equal(await page.evaluate('"taken" in window'), false)
    await isAccessible(page, 'artifacts')
    await page.getByRole('tab', { name: 'usage' }).click()
    await page.getByText('measured by').waitFor()
    await page.getByText('the pod provisioned for this run', { exact: true }).waitFor()
    await page.locator('dt', { hasText: 'network' }).locator('+ dd', { hasText: 'all' }).waitFor()
  })
  await t.test(
    'a run beside the last good one shows the differences, and everything on demand',
    async (t) => {
      const page = await openPage(t, browser, programs)
      await page.goto(at(bad.run_id))
      await page.getByRole('listbox', { name: 'Step graph' }).waitFor()
      await page.keyboard.press('c')
      await page.waitForURL('**compare=last-good**')
      const compare = page.getByRole('main', { name: 'Compare' })
      const row = (name: string) =>
        compare.getByRole('row').filter({ has: page.getByRole('rowheader', { name, exact: true }) })
      await row('version').waitFor()
      assert.deepEqual(await row('version').getByRole('cell').allTextContents(), ['2', '1'])
      assert.match((await row('smoke').textContent()) ?? '', /failed.*success/)
      // A step that ran may take longer in one of them. A step that never runs is equal in both.
      assert.equal(await row('rarely').count(), 0)
      await isAccessible(page, 'compare')
      await compare.getByRole('button', { name: 'Show all' }).click()
      await row('rarely').waitFor()
      await compare.getByLabel('ID of the run to compare with').fill('run_nowhere')
      await page.keyboard.press('Enter')
      await compare.getByRole('alert').waitFor()
      await compare.getByLabel('ID of the run to compare with').fill(bad.run_id)
      await page.keyboard.press('Enter')
      await compare.getByText('no differences').waitFor()
      await compare.getByRole('button', { name: 'Close comparison' }).click()
      await page.getByText('broke', { exact: true }).first().waitFor()
    },
  )
  await t.test('a rollback says what it undoes, and its run opens', async (t) => {
    const page = await openPage(t, browser, programs)
    await page.goto(at(good.run_id))
    await page.getByRole('button', { name: 'Roll back…' }).first().click()
    const dialog = page.getByRole('dialog')
    await dialog.getByText('undoes one step in this order: migrate').waitFor()
    await isAccessible(page, 'rollback')
    await dialog.getByRole('button', { name: 'Roll back' }).click()
    await page.getByText(`rolls back ${good.run_id}`).waitFor()
  })
})
