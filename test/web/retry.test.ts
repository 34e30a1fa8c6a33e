import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { startPrograms } from '../support/programs.ts'
import { clientOf, isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const yaml = (home: string) => `version: v0.1
name: deploy-web
inventory: {hosts: {eu-1: {}, eu-2: {}, us-1: {}}}
steps:
  - {name: build, action: cmd.run, args: {cmd: echo built}}
  - {name: audit, action: cmd.run, when: 'no == yes', args: {cmd: echo audited}}
  - name: smoke-test
    targets: [eu-1, eu-2, us-1]
    action: cmd.run
    args: {cmd: 'echo on it; test "$ERRAND_HOST" = eu-1 || test -e ${home}/$ERRAND_HOST || exit 7'}
  - {name: ship, action: cmd.run, args: {cmd: echo shipped}}
finally:
  - {name: tell, action: cmd.run, args: {cmd: echo over}}
`

test('a run is retried with the narrowest choice first, and the page says beforehand what runs again', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const { run_id } = await programs.client.runs.create({ yaml: yaml(programs.home) })
  await programs.ended(run_id)
  const page = await openPage(t, browser, programs)
  await page.goto(`${programs.url}/runs/${run_id}?step=smoke-test@eu-2`)
  const sheet = page.getByRole('dialog')
  const become = sheet.getByRole('list', { name: 'What happens to each step' })

  await page.getByRole('button', { name: 'Retry eu-2' }).click()
  await sheet.getByText('2 results reused').waitFor()
  await become.getByText('runs on eu-2, 1 reused, 1 stays unchanged').waitFor()
  assert.match((await sheet.locator('code').textContent()) ?? '', /--step smoke-test --host eu-2$/)
  await isAccessible(page, 'a retry')
  assert.equal((await programs.client.runs.list()).runs.length, 1)
  writeFileSync(join(programs.home, 'eu-2'), '')
  await sheet.getByRole('button', { name: 'Start attempt 2' }).click()
  await page.getByText('attempt 2 of 2').waitFor()
  const second = page.url().split('/').at(-1)!.split('?')[0]!
  const { steps } = await programs.ended(second)
  assert.deepEqual(
    steps
      .find(({ step }) => step === 'smoke-test')
      ?.instances.map((one) => [one.status, one.attempts.length]),
    [
      ['success', 0],
      ['success', 1],
      ['failed', 0],
    ],
  )
  await isAccessible(page, 'a try')

  await page.keyboard.press('r')
  await page.getByRole('button', { name: 'Retry from smoke-test' }).click()
  await become.getByText('runs on eu-1, eu-2, us-1').waitFor()
  await sheet.getByRole('button', { name: 'failed steps' }).click()
  await become.getByText('runs on us-1, 2 reused').waitFor()
  await sheet.getByRole('button', { name: 'skip: smoke-test' }).click()
  await become.getByText('1 skipped, 2 reused').waitFor()
  await sheet.getByRole('button', { name: 'ignore condition: audit' }).click()
  await sheet.getByText(/--failed --run-anyway audit --skip smoke-test$/).waitFor()
  await sheet.getByRole('button', { name: 'Start attempt 3' }).click()
  await page.getByText('attempt 3 of 3').waitFor()
  const third = page.url().split('/').at(-1)!.split('?')[0]!
  const view = await programs.ended(third)
  assert.deepEqual(
    view.steps.map(({ step, status }) => [step, status]),
    [
      ['build', 'success'],
      ['audit', 'success'],
      ['smoke-test', 'success'],
      ['ship', 'success'],
      ['tell', 'success'],
    ],
  )
  await page.getByRole('link', { name: `Attempt 1, failed: ${run_id}` }).click()
  await page.getByText('attempt 1 of 3').waitFor()
})

test('an attempt that is started elsewhere appears on the page of the earlier ones', { skip }, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const { run_id } = await programs.client.runs.create({ yaml: yaml(programs.home) })
  await programs.ended(run_id)
  const page = await openPage(t, browser, programs)
  await page.goto(`${programs.url}/runs/${run_id}`)
  await page.getByRole('button', { name: 'Retry failed' }).first().waitFor()
  const again = await programs.client.runs.retry(run_id, { only: 'failed' })
  await page.getByText('attempt 1 of 2').waitFor()
  await page.getByRole('link', { name: `Attempt 2, failed: ${again.run_id}` }).waitFor()
})

test('a failure that needs a person is retried in place, and during a run the page says when', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const ann = await clientOf(programs, 'ann')
  const { run_id } = await ann.runs.create({
    yaml: yaml(programs.home).replace('exit 7', '{ echo no room >&2; exit 7; }'),
  })
  await programs.ended(run_id)
  const page = await openPage(t, browser, programs)
  const needs = page.getByRole('region', { name: 'Needs you' })

  await needs.getByRole('button', { name: 'Retry eu-2…' }).click()
  const sheet = page.getByRole('dialog')
  await sheet.getByText('runs on eu-2, 1 reused, 1 stays unchanged').waitFor()
  assert.match((await sheet.locator('code').textContent()) ?? '', /--step smoke-test --host eu-2$/)
  await isAccessible(page, 'a retry in the list')
  await page.keyboard.press('Escape')
  await sheet.waitFor({ state: 'detached' })
  await needs.getByRole('link', { name: 'Last stderr lines of smoke-test' }).click()
  await page.getByRole('region', { name: 'Log of smoke-test@eu-2' }).getByText('no room').waitFor()

  const going = await ann.runs.create({
    yaml: `version: v0.1
name: goes-on
inventory: {hosts: {eu-1: {}, eu-2: {}}}
steps:
  - name: check
    targets: [eu-1, eu-2]
    action: cmd.run
    args: {cmd: 'test "$ERRAND_HOST" = eu-1 && while ! test -e ${programs.home}/go; do sleep 0.1; done'}
`,
  })
  await page.goto(`${programs.url}/runs/${going.run_id}?step=check@eu-2`)
  await page.getByText('You can retry it when the run has ended.').waitFor()
  writeFileSync(join(programs.home, 'go'), '')
  await page.getByRole('button', { name: 'Retry eu-2' }).waitFor()
  assert.equal(await page.getByText('You can retry it when').count(), 0)
})
