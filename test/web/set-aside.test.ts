import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { test } from 'node:test'
import { startPrograms, workflowText } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'
import { part } from '../support/web/tabs.ts'

test('a run that is set aside says so and why on its page, until it continues', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const { client, url, data } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const over = join(programs.home, 'over')
  const { run_id } = await client.runs.create({
    yaml: workflowText([{ name: 'print', cmd: part('begun', over) }]),
  })
  const browser = await startBrowser(t)
  const page = await openPage(t, browser, programs)
  await page.goto(`${url}/runs/${run_id}`)
  await page.getByText('begun', { exact: true }).waitFor()

  // Changes an event of the run's log in the database.
  const change = (sql: string, ...values: string[]) => {
    const database = new DatabaseSync(join(data, 'errand.db'))
    const changed = database.prepare(sql).run(...values).changes
    database.close()
    assert.equal(changed, 1)
  }
  await programs.kill('hub')
  const ofStart = (attempt: number) =>
    `run_id = ? AND json ->> '$.type' = 'attempt.started' AND json ->> '$.attempt' = ${attempt}`
  change(`UPDATE events SET json = json_set(json, '$.attempt', 99) WHERE ${ofStart(1)}`, run_id)
  await programs.startHub()
  const notice = page.getByRole('alert').filter({ hasText: 'this run does not continue' })
  await notice.waitFor()
  await notice.getByText(/attempt 99/).waitFor()
  const picture = async (what: string) => {
    for (const [width, height] of [
      [1440, 900],
      [390, 844],
    ] as const) {
      await page.setViewportSize({ width, height })
      await isAccessible(page, `${what}, ${width} px wide`)
      const { x, width: wide } = (await notice.boundingBox())!
      assert.ok(x >= 0 && x + wide <= width, `${what}: ${x}, ${wide} wide`)
      const isWide = `(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(document.documentElement)`
      assert.equal(await page.evaluate(isWide), false, what)
    }
  }
  await picture('set aside')

  const resume = page.getByRole('button', { name: 'Resume' })
  await resume.click()
  await page
    .getByRole('alert')
    .filter({ hasText: `Run ${run_id} is set aside` })
    .waitFor()
  await picture('refused')
  assert.notEqual((await client.runs.get(run_id)).set_aside, undefined)

  // The hub has its database open exclusively. At its next start, it resumes the run by itself.
  await programs.kill('hub')
  change(`UPDATE events SET json = json_set(json, '$.attempt', 1) WHERE ${ofStart(99)}`, run_id)
  await programs.startHub()
  await notice.waitFor({ state: 'detached' })
  writeFileSync(over, '')
  assert.equal((await programs.ended(run_id)).status, 'success')
  await page.getByRole('heading', { name: 'flow' }).waitFor()
  await page.getByText('success', { exact: true }).first().waitFor()
})
