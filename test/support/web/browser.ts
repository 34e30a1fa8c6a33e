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
/** Why the tests with a browser are skipped, or false. */
export const skip = browserPath === undefined && 'no Chromium is installed: scripts/ci-packages.sh chromium'
export const password = 'correct horse battery'
/** Limits how long a page may take for anything on a busy machine. It catches hangs and does not measure pages. */
export const LONGEST_WAIT_MS = 120_000

export async function startBrowser(t: TestContext): Promise<Browser> {
  // Each window has two pages of its own for the popups of its address bar, and each browser has a spare renderer.
  // These are most of the cost of a page. The other features are from Playwright's own switch, which this one
  // replaces.
  const without = [
    'WebUIOmniboxPopup,WebUIOmniboxAimPopup,SpareRendererForSitePerProcess',
    'AvoidUnnecessaryBeforeUnloadCheckSync,DestroyProfileOnBrowserClose,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable',
    'LensOverlay,MediaRouter,PaintHolding,ThirdPartyStoragePartitioning,AvoidCorsURLLoaderRestartOnRedirect',
    'OptimizationHints,NetworkTimeServiceQuerying,AimEnabled,PreconnectToSearch',
  ]
  const args = [`--disable-features=${without}`]
  const browser = await chromium.launch({ executablePath: browserPath, args })
  t.after(() => browser.close())
  return browser
}

/**
 * Opens a page that is logged in. Errors in the page, and what its console says about blocked content, fail the test.
 */
export async function openPage(t: TestContext, browser: Browser, programs: Programs): Promise<Page> {
  const context: BrowserContext = await browser.newContext({ viewport: { width: 1280, height: 800 } })
  context.setDefaultTimeout(LONGEST_WAIT_MS)
  t.after(() => context.close())
  const page = await context.newPage()
  // An error without a stack, such as one of the browser itself, would otherwise be reported as nothing.
  page.on('pageerror', (error) => assert.fail(`the page failed: ${error.stack || error}`))
  page.on('console', (message) => {
    if (/Content.Security.Policy|Refused to/i.test(message.text())) assert.fail(message.text())
  })
  // Logs in as the form does, which dashboard.test.ts tests. The context keeps the cookie that the hub sets.
  const login = await context.request.post(`${programs.url}/api/auth/login`, {
    data: { username: 'ann', password, cookie: true },
  })
  assert.equal(login.status(), 201, await login.text())
  await page.goto(`${programs.url}/runs`)
  await page.getByRole('navigation', { name: 'Errand', exact: true }).waitFor()
  return page
}

/** Returns the API as the user of this name has it. */
export async function clientOf({ client, url }: Programs, name: string): Promise<ErrandClient> {
  const { token } = await client.auth.login(name, password)
  return new ErrandClient({ url, token })
}

export async function logIn(page: Page, link: string, name = 'ann'): Promise<void> {
  await page.getByLabel('Name').fill(name)
  await page.getByLabel('Password', { exact: true }).fill(link)
  await page.keyboard.press('Enter')
}

/** Checks that there is no serious finding, in both themes. */
export async function isAccessible(page: Page, what: string): Promise<void> {
  assert.equal(page.frames().length, 1, 'axe checks only the page, and would miss what is in frames')
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.evaluate(`document.documentElement.classList.toggle('dark', ${colorScheme === 'dark'})`)
    // Legacy mode runs in the page itself, without a blank page that combines the findings of frames.
    const axe = new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ['violations'] })
    const { violations } = await axe.analyze()
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
    const findings = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
    assert.deepEqual(findings, [], `${what}, ${colorScheme}`)
  }
}
