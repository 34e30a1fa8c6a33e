import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

test('a runner that comes, works, is drained and goes is seen without asking for it', { skip }, async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const { client, url } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, await startBrowser(t), programs)
  const asked: string[] = []
  await page.goto(`${url}/settings/runners`)
  await page.getByText('No machine is connected, so work waits').waitFor()
  await page.getByRole('button', { name: 'Add a runner' }).click()
  const adding = page.getByRole('region', { name: 'Add a runner' })
  await adding.getByText('Waiting for it to call').waitFor()
  page.on('request', (request) => {
    if (request.method() === 'GET' && /\/api\/runners$/.test(request.url())) asked.push(request.url())
  })
  await programs.startRunner()
  await adding.getByText('apart is here, 64 slots').waitFor()
  const row = page.getByRole('listitem').filter({ hasText: 'apart' })
  await row.getByText('connected', { exact: true }).waitFor()
  await isAccessible(page, 'a runner that came')

  const { run_id } = await client.runs.create({ yaml: workflowText([{ name: 'hold', cmd: 'sleep 1000' }]) })
  await row.getByRole('img', { name: '1 of 64 slots in use' }).waitFor()
  assert.deepEqual(asked, [])
  await row.getByRole('button', { name: 'Drain' }).click()
  await row.getByText('draining', { exact: true }).waitFor()
  await row.getByRole('button', { name: 'Remove…' }).click()
  await page.getByRole('dialog').getByText('1 attempt is lost: hold of flow.').waitFor()
  await isAccessible(page, 'what is lost with a runner')
  await page.getByRole('button', { name: 'Remove runner' }).click()
  await row.waitFor({ state: 'detached' })
  const lost = await programs.ended(run_id)
  assert.deepEqual([lost.status, lost.steps[0]!.reason], ['failed', 'lost'])
  await eventually('no runner', async () => (await client.runners.list()).length === 0)
})
