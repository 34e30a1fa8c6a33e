import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { test } from 'node:test'
import { WebSocket } from 'ws'
import { PROTOCOL_VERSION } from '../../src/contract/protocol.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

test("a runner's arrival, work, draining and departure appear without a reload", { skip }, async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const { client, url } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, await startBrowser(t), programs)
  const requests: string[] = []
  await page.goto(`${url}/settings/runners`)
  await page.getByText('No runner is connected, so work waits').waitFor()
  await page.getByRole('button', { name: 'Add a runner' }).click()
  const adding = page.getByRole('region', { name: 'Add a runner' })
  await adding.getByText('Waiting for the runner to connect').waitFor()
  page.on('request', (request) => {
    if (request.method() === 'GET' && /\/api\/runners$/.test(request.url())) requests.push(request.url())
  })
  await programs.startRunner()
  await adding.getByText('apart is connected, 64 slots').waitFor()
  const row = page.getByRole('listitem').filter({ hasText: 'apart' })
  await row.getByText('connected', { exact: true }).waitFor()
  await isAccessible(page, 'a runner that came')

  const { run_id } = await client.runs.create({ yaml: workflowText([{ name: 'hold', cmd: 'sleep 1000' }]) })
  await row.getByRole('img', { name: '1 of 64 slots in use' }).waitFor()
  assert.deepEqual(requests, [])
  await row.getByRole('link', { name: 'hold of flow' }).waitFor()
  await row.getByRole('button', { name: 'More for apart' }).click()
  await row.getByRole('button', { name: 'Drain…' }).click()
  const drain = page.getByRole('dialog')
  await drain.getByText('63 fewer free slots. 1 attempt finishes normally: hold of flow.').waitFor()
  await drain.getByRole('button', { name: 'Drain runner' }).click()
  await drain.waitFor({ state: 'detached' })
  await row.getByText('draining', { exact: true }).waitFor()
  await row.getByText('drained when hold of flow ends').waitFor()

  // Work that no runner takes now says why, and has a link to the run.
  const waits = await client.runs.create({ yaml: workflowText([{ name: 'later', cmd: 'true' }]) })
  await page.getByRole('button', { name: '1 run waiting: runner "apart" is draining' }).click()
  const waiting = page.getByRole('link', { name: 'later of flow' })
  assert.match((await waiting.getAttribute('href'))!, new RegExp(`/runs/${waits.run_id}\\?step=later`))

  // The page says how long it waits for the work of a runner that is away.
  await programs.kill('runner')
  await row.getByText('disconnected', { exact: true }).waitFor()
  await row
    .getByText(/1 attempt will be lost in 0:\d\d unless it reconnects/)
    .first()
    .waitFor()
  await isAccessible(page, 'a runner that is away, and work that waits')
  await row.getByRole('button', { name: 'apart', exact: true }).click()
  await page.waitForURL('**/settings/runners?*runner=apart')
  await row.getByText('Machine', { exact: true }).waitFor()
  await isAccessible(page, 'all of a runner')
  await row.getByRole('button', { name: 'More for apart' }).click()
  await row.getByRole('button', { name: 'Remove…' }).click()
  await page.getByRole('dialog').getByText('1 attempt is lost: hold of flow.').waitFor()
  await isAccessible(page, 'what is lost with a runner')
  await page.getByRole('button', { name: 'Remove runner' }).click()
  await row.waitFor({ state: 'detached' })
  const lost = await programs.ended(run_id)
  assert.deepEqual([lost.status, lost.steps[0]!.reason], ['failed', 'lost'])
  await eventually('no runner', async () => (await client.runners.list()).length === 0)
})

test('the command for a new runner works as pasted, for a group that is created there', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const { client, errand, url } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, await startBrowser(t), programs)
  await page.goto(`${url}/settings/runners`)
  await page.getByRole('button', { name: 'Add a runner' }).click()
  const adding = page.getByRole('region', { name: 'Add a runner' })
  const command = adding.locator('pre')
  const first = /errand_enroll_\S+/.exec(await command.innerText())![0]
  await adding.getByLabel('Group').selectOption({ label: 'New group…' })
  await adding.getByLabel('Group name').fill('gpu')
  await adding.getByRole('button', { name: 'Create group' }).click()
  await adding.getByLabel('Group name').waitFor({ state: 'detached' })
  // The token from before can no longer be used.
  const refused = await errand.run(['runner', 'enroll', '--hub', url, '--token', first])
  assert.match(refused.stderr, /revoked/)
  await adding.getByLabel('Runner name').fill('runner-9')
  await adding.getByLabel('Labels (steps can request them)').fill('gpu=a100, disk=ssd')
  await adding.getByRole('tab', { name: 'Command' }).press('ArrowRight')
  for (const [way, text] of [
    ['Docker', 'docker run -d'],
    ['Compose', 'docker compose -f errand-runner.yaml up -d'],
    ['systemd', 'ExecStart=/usr/local/bin/errand runner'],
  ] as const) {
    await adding.getByRole('tab', { name: way }).click()
    await command.filter({ hasText: text }).waitFor()
    await isAccessible(page, `a runner by ${way}`)
  }
  await adding.getByRole('tab', { name: 'Command' }).click()
  const [enroll, start] = (await command.innerText()).trim().split('\n')
  // Returns the words of a line as a shell reads them.
  const words = (line: string) =>
    execFileSync('/bin/sh', ['-c', `set -- ${line}; shift; printf '%s\\0' "$@"`], { encoding: 'utf8' })
      .split('\0')
      .slice(0, -1)
  const enrolled = await errand.run(words(enroll!))
  assert.equal(enrolled.code, 0, enrolled.stderr)
  errand.start(words(start!))
  await adding.getByText(/^runner-9 is connected, \d+ slots/).waitFor()
  const [runner] = await client.runners.list()
  assert.deepEqual([runner!.group, runner!.labels], ['gpu', { gpu: 'a100', disk: 'ssd' }])
  await page.goto(`${url}/settings/groups`)
  const group = page.getByRole('region', { name: 'gpu' })
  await group.getByRole('link', { name: 'runner-9' }).waitFor()
  await isAccessible(page, 'groups')
  await group.getByRole('button', { name: 'More for gpu' }).click()
  await group.getByRole('button', { name: 'Delete…' }).click()
  const sure = page.getByRole('dialog')
  await sure.getByText('It is in use: 1 runner, 1 token.').waitFor()
  await sure.getByRole('button', { name: 'Delete group' }).click()
  await sure.getByRole('alert').getByText('The group "gpu" is in use: runners runner-9; 1 token.').waitFor()

  // The page shows the first runners of a large group, and all of them on request.
  const { token } = await client.tokens.create({ name: 'crowd', scope: 'runner' })
  const links = Array.from({ length: 120 }, (_, at) => {
    const link = new WebSocket(`${url.replace('http', 'ws')}/api/runner-link`, {
      headers: { authorization: `Bearer ${token}` },
    })
    const id = `crowd-${at}`
    const hello = {
      ...{ type: 'hello', protocol: PROTOCOL_VERSION, version: '0.0.0', runner_id: id, boot_id: id },
      ...{ group: 'crowd', labels: {}, mode: 'all', hostname: id, cpus: 4, memory_bytes: 8e9, slots: 4 },
      attempts: [],
    }
    link.on('open', () => link.send(JSON.stringify(hello)))
    return link
  })
  t.after(() => {
    for (const link of links) link.terminate()
  })
  await page.goto(`${url}/settings/runners`)
  const crowd = page.getByRole('region', { name: 'Group crowd' })
  await crowd.getByText('120 runners').waitFor()
  assert.equal(await crowd.getByRole('listitem').count(), 100)
  let away = 119
  while ((await crowd.getByRole('button', { name: `crowd-${away}`, exact: true }).count()) > 0) away--
  links[away]!.terminate()
  await crowd.getByRole('button', { name: '20 more, 1 of them disconnected' }).click()
  await crowd.getByRole('listitem').nth(119).waitFor()
})
