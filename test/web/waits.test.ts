import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { openPage, password, skip, startBrowser } from '../support/web/browser.ts'

test("a run's waiting time is separate from its work, in lists, header, timeline and command line", {
  skip,
}, async (t) => {
  const programs = await startPrograms(t, { slots: 1 })
  const browser = await startBrowser(t)
  const { client, url, home } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const end = join(home, 'end')
  const create = async (name: string, cmd: string) =>
    (await client.runs.create({ yaml: workflowText([{ name: 'one', cmd }], { name }) })).run_id
  const holds = await create('holds', `while [ ! -e '${end}' ]; do sleep 0.05; done`)
  await eventually(
    'the first run at work',
    async () => (await client.runs.get(holds)).steps[0]?.instances[0]?.attempts[0]?.started_at !== undefined,
  )
  const waits = await create('waits', 'sleep 0.2')
  const page = await openPage(t, browser, programs)
  await page.goto(`${url}/runs`)
  const row = page.locator(`[data-run="${waits}"]`)

  await t.test('while the run waits, its step is ahead and the wait ticks', async () => {
    await row.getByText(/^waits 0:\d\d$/).waitFor()
    await row.getByRole('img', { name: 'waiting for capacity' }).first().waitFor()
    await row.getByRole('img', { name: '0 of 1 step done, 1 waiting' }).first().waitFor()
    assert.equal(await row.locator('path[stroke-dasharray]').count(), 0)
    await page.goto(`${url}/runs/${waits}?view=timeline`)
    await page.locator('[data-part="waits"]').first().waitFor()
    assert.equal(await page.locator('[data-part="running"]').count(), 0)
  })

  // Sleeps: the wait must be longer than the shortest one that is shown.
  await sleep(2000)
  writeFileSync(end, '')
  const ended = await programs.ended(waits)
  assert.ok(ended.waited_ms! >= 2000 && ended.worked_ms! < ended.waited_ms!, JSON.stringify(ended))

  await t.test('bars are at their times on the axis', async () => {
    await page.goto(`${url}/runs/${waits}?view=timeline`)
    const worked = page.locator('[data-part="success"]').first()
    await worked.waitFor()
    const waited = page.locator('[data-part="waits"]').first()
    const [a, b] = [await waited.boundingBox(), await worked.boundingBox()]
    const [attempt] = ended.steps[0]!.instances[0]!.attempts
    const ms = (time?: string) => Date.parse(time!)
    const [created, began, over] = [
      ms(attempt!.created_at),
      ms(attempt!.started_at),
      ms(attempt!.finished_at),
    ]
    const scale = a!.width / (began - created)
    assert.ok(Math.abs(a!.x + a!.width - b!.x) < 2, 'the work starts where the wait ends')
    assert.ok(Math.abs(b!.width - Math.max(3, (over - began) * scale)) < 3, `${b!.width}: ${over - began} ms`)
    const style = await waited.evaluate((bar) =>
      (bar as unknown as { computedStyleMap(): Map<string, object> })
        .computedStyleMap()
        .get('border-top-style')!
        .toString(),
    )
    assert.equal(style, 'dotted')
    await page
      .getByText(/^waited \d+:\d\d$/)
      .first()
      .waitFor()
  })

  await t.test('the list and the command line say both', async () => {
    await page.goto(`${url}/runs`)
    await row.getByText(/^waited \d+:\d\d$/).waitFor()
    const shown = await programs.call('runs', 'show', waits)
    assert.match(shown.stdout, /success {2}[\d.]+ m?s {2}waited \d+\.\d s/)
    assert.match(shown.stdout, /TIME +WAITED/)
    const { stdout } = await programs.call('runs', 'list', '--json')
    const [listed] = JSON.parse(stdout).runs.filter(({ run_id }: { run_id: string }) => run_id === waits)
    assert.deepEqual([listed.worked_ms, listed.waited_ms], [ended.worked_ms, ended.waited_ms])
  })
})
