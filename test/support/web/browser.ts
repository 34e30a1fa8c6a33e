import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import type { TestContext } from 'node:test'
import { AxeBuilder } from '@axe-core/playwright'
import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core'
import { ErrandClient } from '../../../src/client/client.ts'
import type { Programs } from '../programs.ts'

const hidden = process.env.ERRAND_TEST_WITHOUT?.includes('browsers')
export const browserPath = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'].find(
  (file) => !hidden && existsSync(file),
)
/** Why the tests with a browser are left out, if they are. */
export const skip = browserPath === undefined && 'no Chromium is installed: scripts/ci-packages.sh chromium'
export const password = 'correct horse battery'
/** How long a page may take for anything, on a machine that is busy: a limit for what hangs, and no measure of a page. */
export const LONGEST_WAIT_MS = 120_000

export async function startBrowser(t: TestContext): Promise<Browser> {
  const browser = await chromium.launch({ executablePath: browserPath })
  t.after(() => browser.close())
  return browser
}

/** A page that has logged in; what its console says is wrong ends the test. */
export async function openPage(t: TestContext, browser: Browser, programs: Programs): Promise<Page> {
  const context: BrowserContext = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  context.setDefaultTimeout(LONGEST_WAIT_MS)
  t.after(() => context.close())
  const page = await context.newPage()
  // What has no stack, such as what the browser itself says, would be told as nothing.
  page.on('pageerror', (error) => assert.fail(`the page failed: ${error.stack || error}`))
  page.on('console', (message) => {
    if (/Content.Security.Policy|Refused to/i.test(message.text())) assert.fail(message.text())
  })
  await page.goto(`${programs.url}/login`)
  await logIn(page, password)
  await page.waitForURL('**/runs')
  await page.getByRole('navigation', { name: 'Errand', exact: true }).waitFor()
  return page
}

/** The API as the user of this name has it. */
export async function clientOf({ client, url }: Programs, name: string): Promise<ErrandClient> {
  const { token } = await client.auth.login(name, password)
  return new ErrandClient({ url, token })
}

export async function logIn(page: Page, given: string): Promise<void> {
  await page.getByLabel('Name').fill('ann')
  await page.getByLabel('Password', { exact: true }).fill(given)
  await page.keyboard.press('Enter')
}

/** No serious finding, in both themes. */
export async function isAccessible(page: Page, what: string): Promise<void> {
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.evaluate(`document.documentElement.classList.toggle('dark', ${colorScheme === 'dark'})`)
    const { violations } = await new AxeBuilder({ page }).analyze()
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
    const said = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
    assert.deepEqual(said, [], `${what}, ${colorScheme}`)
  }
}
