import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { isAccessible, LONGEST_WAIT_MS, skip, startBrowser } from '../support/web/browser.ts'

const root = join(import.meta.dirname, '../..')

/** Starts `npm run page`, which ends with the test, and returns its address. */
async function startPage(t: TestContext): Promise<string> {
  const child = spawn(process.execPath, ['scripts/page-server.ts'], {
    cwd: root,
    env: { ...process.env, PORT: '0' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const ended = once(child, 'exit')
  t.after(async () => {
    child.kill('SIGKILL')
    await ended
  })
  for await (const line of createInterface(child.stdout)) {
    const [, url] = /^The page: (\S+),/.exec(line) ?? []
    if (url !== undefined) return url
  }
  throw new Error('the page is not served')
}

test('npm run page shows every part in every state, in both themes and widths', { skip }, async (t) => {
  const url = await startPage(t)
  const browser = await startBrowser(t)
  const page = await (await browser.newContext()).newPage()
  page.setDefaultTimeout(LONGEST_WAIT_MS)
  page.on('pageerror', (error) => assert.fail(error))
  await page.goto(`${url}styleguide`)
  await page.getByRole('heading', { name: 'Parts' }).waitFor()
  for (const width of [1440, 390]) {
    await page.setViewportSize({ width, height: 900 })
    await isAccessible(page, `parts, ${width} wide`)
    const wider = await page.evaluate('document.documentElement.scrollWidth > innerWidth')
    assert.equal(wider, false, `nothing overflows at ${width}`)
  }
  for (const words of ['Approved', 'Not approved', 'deploy-web asks'])
    await page.getByRole('button', { name: words, exact: true }).click()
  const toasts = page.getByRole('region', { name: 'Toasts' })
  await toasts.getByText('Approved. deploy-web continues.').waitFor()
  await toasts.getByText('Open the run to see why.').waitFor()
  await isAccessible(page, 'toasts')
  await page.getByRole('button', { name: 'Notifications, 3 new' }).click()
  const notices = page.getByRole('dialog', { name: 'Notifications' })
  await notices.getByText('Approved. deploy-web continues.').waitFor()
  assert.equal(await notices.getByRole('listitem').count(), 3)
  await page.keyboard.press('Escape')
  const talk = page.getByRole('region', { name: 'A session' })
  for (const words of ['turn 7', '80 % of the budget is used.', 'then update the changelog'])
    await talk.getByText(words).first().waitFor()
  await page.getByRole('button', { name: 'Is refused' }).click()
  await page.getByRole('alert').first().waitFor()
  await page.getByRole('button', { name: 'Cancel reindex-search…' }).click()
  await page.getByRole('dialog', { name: 'Cancel reindex-search?' }).waitFor()
  await isAccessible(page, 'a confirmation')
  await page.keyboard.press('Escape')
  await page.getByRole('dialog').waitFor({ state: 'detached' })
})
