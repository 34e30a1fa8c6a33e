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
  // Each window has two pages of its own for the popups of its address bar, and each browser a renderer to spare: most of
  // what a page costs. The rest is Playwright's, whose switch this one takes the place of.
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
  // As the form does it, whose own tests are in dashboard.test.ts: the context keeps the cookie that the hub sets.
  const login = await context.request.post(`${programs.url}/api/auth/login`, {
    data: { username: 'ann', password, cookie: true },
  })
  assert.equal(login.status(), 201, await login.text())
  await page.goto(`${programs.url}/runs`)
  await page.getByRole('navigation', { name: 'Errand', exact: true }).waitFor()
  return page
}

/** The API as the user of this name has it. */
export async function clientOf({ client, url }: Programs, name: string): Promise<ErrandClient> {
  const { token } = await client.auth.login(name, password)
  return new ErrandClient({ url, token })
}

export async function logIn(page: Page, given: string, name = 'ann'): Promise<void> {
  await page.getByLabel('Name').fill(name)
  await page.getByLabel('Password', { exact: true }).fill(given)
  await page.keyboard.press('Enter')
}

/** No serious finding, in both themes. */
export async function isAccessible(page: Page, what: string): Promise<void> {
  assert.equal(page.frames().length, 1, 'axe looks at the page alone, and would miss what is in frames')
  for (const colorScheme of ['light', 'dark'] as const) {
    await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' })
    await page.evaluate(`document.documentElement.classList.toggle('dark', ${colorScheme === 'dark'})`)
    // Legacy: in the page itself, without a blank one that puts together what was found in frames.
    const axe = new AxeBuilder({ page }).setLegacyMode().options({ resultTypes: ['violations'] })
    const { violations } = await axe.analyze()
    const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
    const said = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' ')}`)
    assert.deepEqual(said, [], `${what}, ${colorScheme}`)
  }
}
