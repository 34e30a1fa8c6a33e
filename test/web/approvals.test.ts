import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { eventually } from '../support/errand-command.ts'
import { startPrograms } from '../support/programs.ts'
import {
  isAccessible,
  LONGEST_WAIT_MS,
  openPage,
  password,
  skip,
  startBrowser,
} from '../support/web/browser.ts'

const asking = (args: Record<string, unknown>, before: readonly object[] = []) => ({
  version: 'v0.1',
  name: 'release',
  steps: [
    ...before,
    { name: 'ask', action: 'approval.wait', args },
    { name: 'ship', action: 'cmd.run', args: { cmd: 'echo shipped' } },
  ],
})

const LONG = `${'kubectl delete namespace production --wait '.repeat(8)}--now`

test('authorized users give approvals, also from a phone, and others are told about them', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  const { client, url } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  await client.users.create({ name: 'bob', password, role: 'user' })
  const ask = async (args: Record<string, unknown>) =>
    (await client.runs.create({ workflow: asking(args) })).run_id

  const asBob = async (): Promise<Page> => {
    const context = await browser.newContext({ viewport: { width: 390, height: 844 } })
    t.after(() => context.close())
    context.setDefaultTimeout(LONGEST_WAIT_MS)
    return await context.newPage()
  }
  const logInAs = async (page: Page, name: string) => {
    await page.getByLabel('Name').fill(name)
    await page.getByLabel('Password', { exact: true }).fill(password)
    await page.keyboard.press('Enter')
  }

  await t.test('a link to a question opens it after the login, and one more touch answers it', async () => {
    const run = await ask({ message: LONG, approvers: { users: ['bob'] }, timeout_seconds: 3600 })
    const page = await asBob()
    await page.goto(`${url}/runs/${run}?step=ask#question:ask`)
    await page.waitForURL('**/login?next=**')
    await logInAs(page, 'bob')
    const card = page.getByRole('region', { name: 'Waiting for your answer' })
    await card.waitFor()
    assert.equal(new URL(page.url()).hash, '#question:ask')
    assert.equal((await client.runs.get(run)).steps[0]!.status, 'waiting')
    assert.ok((await card.innerText()).includes(LONG))
    await card.getByText('If nobody answers, it will be rejected').waitFor()
    for (const name of ['Approve', 'Reject']) {
      const box = (await card.getByRole('button', { name }).boundingBox())!
      assert.ok(box.height >= 44 && box.y + box.height <= 844, JSON.stringify(box))
    }
    await isAccessible(page, 'an approval on a phone')
    await card.getByLabel('Comment').fill('looked at it')
    await card.getByRole('button', { name: 'Approve' }).click()
    await page.getByText('Approved by bob').waitFor()
    const done = await programs.ended(run)
    assert.deepEqual(
      [done.status, done.steps[0]!.answered?.by, done.steps[0]!.answered?.comment],
      ['success', 'bob', 'looked at it'],
    )
  })

  await t.test(
    'a user who may not answer sees who may, and a second answer sees who was first',
    async (t) => {
      const run = await ask({ message: 'Ship it?', approvers: { users: ['bob'], requester: false } })
      const page = await openPage(t, browser, programs)
      await page.locator(`[data-run="${run}"]`).waitFor()
      assert.equal(await page.getByRole('region', { name: 'Needs you' }).count(), 0)
      await page.goto(`${url}/runs/${run}`)
      const card = page.getByRole('region', { name: 'Waiting for an answer' })
      await card.getByText("You can't answer").waitFor()
      assert.equal(await card.getByRole('button').count(), 0)
      await isAccessible(page, 'an approval of others')

      const own = await ask({ message: 'And this?' })
      await page.goto(`${url}/runs/${own}`)
      const mine = page.getByRole('region', { name: 'Waiting for your answer' })
      await mine.waitFor()
      await page.context().grantPermissions(['clipboard-read', 'clipboard-write'])
      await mine.getByLabel('Comment').fill("it's late")
      await mine.getByRole('button', { name: 'Copy as CLI' }).click()
      await isAccessible(page, 'an answer as a command')
      await mine.getByRole('button', { name: 'Reject' }).last().click()
      await mine.getByText('Copied').waitFor()
      assert.equal(
        await page.evaluate('navigator.clipboard.readText()'),
        `errand reject ${own} ask --comment 'it'\\''s late'`,
      )
      await mine.getByLabel('Comment').fill('')
      // The page does not notice, because the answer to its next read never arrives.
      await page.route(new RegExp(`/api/runs/${own}\\?`), () => {})
      await client.runs.reject(own, { step: 'ask' })
      await mine.getByRole('button', { name: 'Approve' }).click()
      await mine.getByRole('alert').filter({ hasText: 'already rejected it' }).waitFor()
      await client.runs.cancel(run)
    },
  )

  await t.test("others' runs with a question appear in the list, and one is answered there", async () => {
    const page = await asBob()
    await page.goto(`${url}/login`)
    await logInAs(page, 'bob')
    await page.waitForURL('**/runs')
    await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
    const run = await ask({ message: 'Ship this?', approvers: { roles: ['user'] } })
    const needs = page.getByRole('region', { name: 'Needs you' })
    await needs.getByText('Ship this?').waitFor()
    const long = await ask({ message: LONG, approvers: { roles: ['user'] } })
    await needs.getByRole('link', { name: 'Read in full…' }).waitFor()
    await isAccessible(page, 'needs you on a phone')
    await needs.getByRole('button', { name: 'Approve' }).click()
    assert.equal((await programs.ended(run)).status, 'success')
    await needs.getByText('Ship this?').waitFor({ state: 'detached' })
    await client.runs.cancel(long)
    // While the pointer is in the list below, nothing above it is removed.
    await page.mouse.move(0, 0)
    await needs.waitFor({ state: 'detached' })
  })

  await t.test('the time for an answer counts down, and then nobody can answer any more', async () => {
    const run = await ask({ message: 'In time?', timeout_seconds: 3600, on_timeout: 'approve' })
    const page = await openPage(t, browser, programs)
    await page.clock.install()
    await page.goto(`${url}/runs`)
    const needs = page.getByRole('region', { name: 'Needs you' })
    await needs.getByText(/^will be approved in 5\d:\d\d$/).waitFor()
    await page.goto(`${url}/runs/${run}`)
    const card = page.getByRole('region', { name: 'Waiting for your answer' })
    const left = async () => {
      const [, minutes, seconds] = /^(\d\d):(\d\d)$/.exec(await card.getByText(/^\d\d:\d\d$/).innerText())!
      return Number(minutes) * 60 + Number(seconds)
    }
    const before = await left()
    await card.getByText('If nobody answers, it will be approved at').waitFor()
    // The hub is unreachable, so only the clock says how much time is left.
    await page.route(/\/api\//, (route) => route.abort())
    await page.clock.fastForward(600_000)
    await eventually('ten minutes less', async () => (await left()) <= before - 600)
    await page.clock.fastForward(3600_000)
    const over = page.getByRole('region', { name: 'Time is up' })
    await over.getByText('Too late to answer: it was approved').waitFor()
    assert.equal(await over.getByRole('button').count(), 0)
    await page.unrouteAll()
    await client.runs.cancel(run)
  })

  await t.test('an answer that comes too late learns what happened to the question', async () => {
    // The time starts once the page is there.
    const go = join(programs.home, 'go')
    const first = {
      name: 'first',
      action: 'cmd.run',
      args: { cmd: `until [ -e ${go} ]; do sleep 0.05; done` },
    }
    const workflow = asking({ message: 'Too late?', timeout_seconds: 12 }, [first])
    const { run_id: run } = await client.runs.create({ workflow })
    const page = await openPage(t, browser, programs)
    await page.goto(`${url}/runs/${run}?step=ask`)
    await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
    const held = Promise.withResolvers<void>()
    await page.route('**/approve', async (route) => {
      await held.promise
      await route.continue()
    })
    writeFileSync(go, '')
    await page.getByRole('button', { name: 'Approve' }).click()
    const { steps, status } = await programs.ended(run)
    assert.deepEqual([status, steps[1]!.answered?.by], ['failed', 'timeout'])
    await page.getByText('Rejected automatically: nobody answered in time').waitFor()
    held.resolve()
    await page.getByText(/Not approved: the time limit already rejected it, \d\d:\d\d:\d\d\./).waitFor()
  })
})
