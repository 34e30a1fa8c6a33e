import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { eventually } from '../support/errand-command.ts'
import { type Programs, startPrograms, workflowText } from '../support/programs.ts'
import { clientOf, isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const yaml = (name: string, cmd: string) => workflowText([{ name: 'one', cmd }], { name })
const asking = (message: string) =>
  workflowText([{ name: 'gate', action: 'approval.wait', args: { message } }], { name: 'ship' })
/** Returns the API as this user has it. */
async function as(programs: Programs, name: string) {
  await programs.client.users.create({ name, password, role: 'admin' })
  return await clientOf(programs, name)
}
const toast = (page: Page, text: string | RegExp) => page.locator('[data-toast]').filter({ hasText: text })
const icon = (page: Page) => page.locator('link[rel=icon]').getAttribute('href')

test('ends and questions of other runs appear in a toast and stay behind the bell until the logout', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  const ann = await as(programs, 'ann')
  const page = await openPage(t, browser, programs)
  await page.clock.install()
  await page.goto(`${programs.url}/settings/me`)
  await page.getByRole('button', { name: 'Notifications', exact: true }).waitFor()

  await ann.runs.create({ yaml: yaml('fine', 'true') })
  await toast(page, 'fine succeeded.').waitFor()
  // A notice under the pointer stays, and other ones go after six seconds. One of an error stays until it is closed.
  await toast(page, 'fine').hover()
  await page.clock.runFor(7000)
  assert.equal(await toast(page, 'fine').count(), 1)
  await page.mouse.move(0, 0)
  await page.clock.runFor(6100)
  await toast(page, 'fine').waitFor({ state: 'detached' })

  for (const name of ['a', 'b', 'c', 'd']) {
    await ann.runs.create({ yaml: yaml(name, 'exit 3') })
    await toast(page, `${name} failed at one: exit code`).waitFor()
  }
  assert.equal(await page.locator('[data-toast]').count(), 3)
  assert.equal(await toast(page, 'a failed').count(), 0)

  const waitingRun = await ann.runs.create({ yaml: asking('Ship <b>it</b>?') })
  await toast(page, 'ship asks: “Ship <b>it</b>?”').waitFor()
  // Only the question counts; the four failures do not.
  await eventually('the count in the title', async () => (await page.title()).startsWith('(1) '))
  assert.match((await icon(page))!, /mark-asks-1\.svg$/)

  const other = await page.context().newPage()
  await other.goto(`${programs.url}/runs`)
  await other.getByRole('button', { name: 'Notifications, 6 new' }).click()
  const list = other.getByRole('dialog', { name: 'Notifications' })
  await list.getByRole('listitem').first().waitFor()
  assert.equal(await list.getByRole('listitem').count(), 6)
  assert.equal(await other.locator('[data-toast]').count(), 0)
  await isAccessible(other, 'the list of notices')
  await list
    .getByRole('listitem')
    .filter({ hasText: 'ship asks' })
    .getByRole('link', { name: 'Open' })
    .click()
  await other.waitForURL(`**/runs/${waitingRun.run_id}#question:gate`)
  // A notice that was seen in another tab counts as seen.
  await page.getByRole('button', { name: 'Notifications', exact: true }).waitFor()

  await ann.runs.approve(waitingRun.run_id, { step: 'gate' })
  await eventually('no count in the title', async () => !(await page.title()).startsWith('('))
  assert.match((await icon(page))!, /mark-1\.svg$/)

  const stored = () =>
    page.evaluate(`Object.keys(localStorage).filter((key) => key.startsWith('errand.notices.'))`)
  assert.deepEqual(await stored(), ['errand.notices.default/ann'])
  await other.getByRole('button', { name: 'ann: theme, log out' }).click()
  await other.getByRole('button', { name: 'Log out', exact: true }).click()
  await other.waitForURL('**/login')
  assert.deepEqual(await stored(), [])
})

test('a run on the screen gets no toast, and a toast disappears when its run is opened', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const ann = await as(programs, 'ann')
  const page = await openPage(t, await startBrowser(t), programs)
  await page.goto(`${programs.url}/new`)
  await page.getByLabel('Workflow YAML').fill(yaml('pasted', 'echo out; exit 3'))
  await page.getByText('No mistakes').waitFor()
  await page.getByLabel('Workflow YAML').press('Control+Enter')
  await page.waitForURL('**/new?from=run_*')
  await page.getByRole('region', { name: 'Output' }).getByText('The command ended').waitFor()
  await page.getByText('out', { exact: true }).waitFor()
  // The next notice shows that the page has heard of the first run's end.
  const other = await ann.runs.create({ yaml: yaml('other', 'exit 3') })
  await toast(page, 'other failed').waitFor()
  assert.equal(await toast(page, 'pasted').count(), 0)
  await page.getByRole('button', { name: 'Notifications, 1 new' }).waitFor()
  // On a phone, the bell is in a sheet, which makes room for the list.
  await page.setViewportSize({ width: 390, height: 844 })
  await page.getByRole('button', { name: 'More', exact: true }).click()
  await page.getByRole('button', { name: 'Notifications, 1 new' }).click()
  await page.getByRole('dialog', { name: 'Notifications' }).getByText('other failed').waitFor()
  await page.getByRole('button', { name: 'Log out', exact: true }).waitFor({ state: 'hidden' })
  await page.keyboard.press('Escape')
  await page.setViewportSize({ width: 1280, height: 800 })
  await page.getByRole('link', { name: 'Open run' }).click()
  await page.getByRole('heading', { name: 'pasted' }).waitFor()
  await page.getByRole('link', { name: 'Runs' }).first().click()
  await page.locator(`[data-run="${other.run_id}"] a`).press('Enter')
  await page.getByRole('heading', { name: 'other' }).waitFor()
  await page.locator('[data-toast]').waitFor({ state: 'detached' })
  await page.getByRole('button', { name: 'Notifications', exact: true }).waitFor()
})

test('a second answer gets a notice after its question has gone', { skip }, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await as(programs, 'ann')
  const bob = await as(programs, 'bob')
  const page = await openPage(t, browser, programs)
  const { run_id } = await bob.runs.create({ yaml: asking('Ship it?') })
  await page.getByRole('button', { name: 'Approve', exact: true }).waitFor()
  // Ann's answer is on its way while bob gives his.
  const held = Promise.withResolvers<void>()
  await page.route('**/approve', async (route) => {
    await held.promise
    await route.continue()
  })
  await page.getByRole('button', { name: 'Approve', exact: true }).click()
  await page.getByRole('button', { name: 'Approving…' }).waitFor()
  await bob.runs.reject(run_id, { step: 'gate' })
  await page.getByRole('button', { name: 'Approving…' }).waitFor({ state: 'detached' })
  held.resolve()
  await toast(page, /^Not approved: bob already rejected it, \d\d:\d\d:\d\d\./).waitFor()
})
