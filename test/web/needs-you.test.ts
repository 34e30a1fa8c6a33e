import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import type { ErrandClient } from '../../src/client/client.ts'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { clientOf, isAccessible, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const shots = process.env.ERRAND_TEST_SHOTS
const sizes = [
  [1440, 900],
  [390, 844],
] as const

/**
 * Asserts that the first row of the list of runs is completely visible, without scrolling, above the bar at the lower
 * edge.
 */
async function listIsSeen(page: Page, what: string): Promise<void> {
  const row = page.locator('[data-run]').first()
  await row.waitFor()
  await eventually(`the first row above the fold, ${what}`, async () => {
    const { y, height } = (await row.boundingBox())!
    const bar = page.getByRole('navigation', { name: 'Errand, bottom bar' })
    const fold = (await bar.isVisible()) ? (await bar.boundingBox())!.y : page.viewportSize()!.height
    return y > 0 && y + height <= fold
  })
}

async function shoot(page: Page, name: string): Promise<void> {
  if (shots === undefined) return
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme })
    await page.evaluate(`document.documentElement.classList.toggle('dark', ${colorScheme === 'dark'})`)
    await page.screenshot({ path: `${shots}-${name}-${page.viewportSize()!.width}-${colorScheme}.png` })
  }
}

test('only questions are counted, similar failures are one row, and the list starts above the fold', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const ann = await clientOf(programs, 'ann')
  const fail = async (client: ErrandClient, name: string, cmd: string) => {
    const { run_id } = await client.runs.create({ yaml: workflowText([{ name: 'verify', cmd }], { name }) })
    return run_id
  }
  const failed: string[] = []
  for (let at = 0; at < 12; at++) failed.push(await fail(ann, 'nightly-db', `echo no room ${at} >&2; exit 3`))
  for (const name of ['a', 'b', 'c', 'd', 'e', 'f'])
    failed.push(await fail(ann, `weekly-${name}`, 'echo gone >&2; exit 4'))
  await Promise.all(failed.map((id) => programs.ended(id)))
  const page = await openPage(t, browser, programs)
  const needs = page.getByRole('region', { name: 'Needs you' })
  const icon = () => page.locator('link[rel="icon"]').getAttribute('href')

  await t.test('failures are in no count, title or icon, and twelve similar ones are one row', async () => {
    await needs.getByText('Failed since you last looked').waitFor()
    await needs.getByText('18', { exact: true }).waitFor()
    await eventually('the title', async () => (await page.title()) === 'Runs · Errand')
    await page.getByRole('link', { name: 'Runs', exact: true }).first().waitFor()
    assert.match((await icon())!, /mark-1\.svg$/)
    for (const [width, height] of sizes) {
      await page.setViewportSize({ width, height })
      await listIsSeen(page, `failures, ${width}`)
    }
    await needs.getByRole('button', { name: /^Show all 7 failure groups$/ }).click()
    await needs.getByText('× 12').waitFor()
    assert.equal(await needs.getByText('nightly-db').count(), 1)
    const group = needs.getByRole('listitem').filter({ hasText: 'nightly-db' })
    assert.match(await group.innerText(), /verify failed.*exit code 3.*“no room \d+”/s)
    await needs.getByRole('button', { name: /^Show fewer/ }).click()
    await listIsSeen(page, 'folded again')
  })

  const requests: string[] = []
  for (let at = 0; at < 8; at++) {
    const message = `Ship ${at}? ${'It changes what every customer sees. '.repeat(4)}`.trim()
    const workflow = {
      version: 'v0.1' as const,
      name: `release-${at}`,
      steps: [{ name: 'ask', action: 'approval.wait' as const, args: { message } }],
    }
    requests.push((await ann.runs.create({ workflow })).run_id)
  }

  await t.test('questions come first and are counted; the list stays above the fold', async () => {
    await eventually('the title', async () => (await page.title()) === '(8) Runs · Errand')
    await eventually('the icon', async () => (await icon())!.endsWith('mark-asks-1.svg'))
    for (const [width, height] of sizes) {
      await page.setViewportSize({ width, height })
      await page.reload()
      const show = needs.getByRole('button', { name: 'Show all 8 questions' })
      await show.waitFor()
      await needs.getByRole('button', { name: 'Approve' }).first().waitFor()
      await shoot(page, 'bounded')
      await listIsSeen(page, `questions and failures, ${width}`)
      const question = (await needs.getByText(/asks:/).first().boundingBox())!
      const failure = (await needs.getByText('Failed since you last looked').boundingBox())!
      assert.ok(question.y < failure.y)
      if (width === 390) await isAccessible(page, 'questions and failures on a phone')
      await show.click()
      await eventually('all eight', async () => (await needs.getByText(/asks:/).count()) === 8)
      await needs.getByRole('button', { name: 'Show fewer questions' }).click()
      await listIsSeen(page, `again, ${width}`)
    }
    await page.setViewportSize({ width: 1440, height: 900 })
    for (const run of requests) await ann.runs.cancel(run)
    await needs.getByText(/asks:/).first().waitFor({ state: 'detached' })
    await eventually('the title', async () => (await page.title()) === 'Runs · Errand')
  })

  await t.test('each of twelve can be opened, and all of them can be marked as seen', async () => {
    await needs.getByRole('button', { name: 'Show all 7 failure groups' }).click()
    await needs.getByRole('button', { name: /^Show the 12 runs of nightly-db/ }).click()
    const opens = needs.getByRole('link', { name: /^Open nightly-db, which failed/ })
    await eventually('a link for each', async () => (await opens.count()) === 12)
    await shoot(page, 'opened-group')
    await isAccessible(page, 'an opened group')
    await needs.getByRole('link', { name: `Open nightly-db, which failed, ${failed[0]}` }).click()
    await page.waitForURL(`**/runs/${failed[0]}*`)
    // If the test left the page at once, the page might not have reported yet that the run was opened.
    const isUnseen = async () => (await ann.views.failures()).runs.some((run) => run.run_id === failed[0])
    await eventually('it marked as seen', async () => !(await isUnseen()))
    await page.goto(`${programs.url}/runs`)
    await needs.getByRole('button', { name: 'Show all 7 failure groups' }).click()
    await needs.getByText('× 11').waitFor()
    await needs.getByRole('button', { name: 'Mark 11 as seen' }).click()
    await needs.getByText('nightly-db').waitFor({ state: 'detached' })
    await eventually('six at the hub', async () => (await ann.views.failures()).runs.length === 6)
    await needs.getByRole('button', { name: 'Mark failures as seen' }).click()
    await needs.waitFor({ state: 'detached' })
    await eventually('none at the hub', async () => (await ann.views.failures()).runs.length === 0)
  })
})
