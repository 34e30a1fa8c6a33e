import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { LONGEST_WAIT_MS, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

const keysAreFree = (page: Page) =>
  eventually('the release of held keys', () =>
    page.evaluate('globalThis.errandHeldKeys?.isHolding === false'),
  )

/**
 * Extends the page's time limit for held keys, because they may wait longer on a busy machine. So a test itself says
 * which keys are too old.
 */
const patient = `{
  const real = setTimeout
  globalThis.setTimeout = (call, ms, ...rest) => real(call, ms === 5000 ? ${LONGEST_WAIT_MS} : ms, ...rest)
}`
const keepFresh = (page: Page) =>
  page.evaluate(`for (const key of errandHeldKeys.keys) key.timeStamp += ${LONGEST_WAIT_MS}`)

/** Opens an address, and holds its code back until these keys were pressed. */
async function openCold(page: Page, url: string, press: () => Promise<void>): Promise<void> {
  const isCode = /\/assets\/index-[^/]*\.js$/
  const pressed = Promise.withResolvers<void>()
  await page.route(isCode, async (route) => {
    await pressed.promise
    await route.continue()
  })
  await page.goto(url, { waitUntil: 'commit' })
  await eventually('held keys', () => page.evaluate('globalThis.errandHeldKeys?.isHolding'))
  await press()
  await keepFresh(page)
  pressed.resolve()
  await keysAreFree(page)
  await page.unroute(isCode)
}

test("keys that are pressed before the page's code arrives take effect once it is there", {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const { url, client } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const browser = await startBrowser(t)
  const page = await openPage(t, browser, programs)
  await page.addInitScript(patient)
  const { keyboard } = page
  const { run_id } = await client.runs.create({
    yaml: workflowText([{ name: 'wait', cmd: 'sleep 600' }]),
  })
  const filter = page.getByLabel(/^Filter: words/)

  await t.test('letters open pages', async () => {
    await openCold(page, `${url}/runs`, () => keyboard.type('n'))
    await page.waitForURL('**/new')
    await openCold(page, `${url}/runs`, () => keyboard.type('gs'))
    await page.waitForURL('**/sessions')
    await openCold(page, `${url}/runs/${run_id}`, () => keyboard.type('3'))
    await page.waitForURL('**view=timeline')
  })

  await t.test('keys after one that leads to a field become its text', async () => {
    await openCold(page, `${url}/runs`, async () => {
      await keyboard.type('/status:faxd')
      await keyboard.press('Backspace')
      await keyboard.press('Backspace')
      await keyboard.type('iled')
    })
    assert.equal(await filter.inputValue(), 'status:failed')
    await openCold(page, `${url}/settings/runners`, () => keyboard.type('gr/abc'))
    await page.waitForURL('**/runs')
    assert.equal(await filter.inputValue(), 'abc')
  })

  await t.test('the palette has the text typed while its own code was loading', async () => {
    const field = page.getByRole('combobox', { name: 'Search or do' })
    const isPalette = /\/assets\/palette-[^/]*\.js$/
    for (const isCold of [true, false]) {
      const typed = Promise.withResolvers<void>()
      await page.route(isPalette, async (route) => {
        await typed.promise
        await route.continue()
      })
      const type = async () => {
        await keyboard.press('Control+k')
        await keyboard.type('runners')
        if (!isCold) await keepFresh(page)
        typed.resolve()
      }
      if (isCold) await openCold(page, `${url}/runs`, type)
      else {
        await page.goto(`${url}/runs`)
        await keysAreFree(page)
        await type()
      }
      await field.waitFor()
      await keysAreFree(page)
      assert.equal(await field.inputValue(), 'runners')
      await page.getByRole('option', { name: /^Runners/ }).waitFor()
      await keyboard.press('Escape')
      await page.locator('dialog').waitFor({ state: 'detached' })
      await page.unroute(isPalette)
    }
  })

  await t.test(
    'letters that end or answer something do not take effect, nor do any after five seconds',
    async () => {
      const keys = page.getByRole('dialog', { name: 'Keyboard shortcuts' })
      await openCold(page, `${url}/runs/${run_id}`, () => keyboard.type('xadx?'))
      await keys.waitFor()
      assert.equal(await page.locator('dialog').count(), 1)
      await openCold(page, `${url}/runs`, async () => {
        await keyboard.type('/nn')
        await page.evaluate(`errandHeldKeys.keys[0].timeStamp -= ${LONGEST_WAIT_MS + 5001}`)
      })
      assert.equal(new URL(page.url()).pathname, '/runs')
      assert.equal(await filter.inputValue(), '')
      // The page handles keys again.
      await keyboard.type('n')
      await page.waitForURL('**/new')
    },
  )

  await t.test('the login has its name and password', async () => {
    const context = await browser.newContext()
    context.setDefaultTimeout(LONGEST_WAIT_MS)
    const stranger = await context.newPage()
    await stranger.addInitScript(patient)
    await openCold(stranger, `${url}/runs`, async () => {
      await stranger.keyboard.type('ann')
      await stranger.keyboard.press('Tab')
      await stranger.keyboard.type(password)
    })
    assert.equal(await stranger.getByLabel('Name').inputValue(), 'ann')
    await stranger.keyboard.press('Enter')
    await stranger.waitForURL(`${url}/runs`)
    await stranger.getByRole('navigation', { name: 'Errand', exact: true }).waitFor()
    await context.close()
  })
  await client.runs.cancel(run_id)
  await programs.ended(run_id)
})
