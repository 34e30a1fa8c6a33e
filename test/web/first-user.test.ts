import assert from 'node:assert/strict'
import { once } from 'node:events'
import { existsSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { errandCommand } from '../support/errand-command.ts'
import { runTurn, startModelServer } from '../support/model-server/server.ts'
import { LONGEST_WAIT_MS, skip, startBrowser } from '../support/web/browser.ts'

const hosts = (fixed: string) => `version: v0.1
name: roll-out
inventory:
  hosts: {eu-1: {}, eu-2: {}, us-1: {}}
steps:
  - name: build
    action: cmd.run
    args: {cmd: echo built}
  - name: put
    targets: [eu-1, eu-2, us-1]
    action: cmd.run
    args: {cmd: 'echo "on $ERRAND_HOST"; test "$ERRAND_HOST" != eu-2 || test -e ${fixed} || { echo no room >&2; exit 7; }'}
`

test('a new user finishes a workflow, retries a host, answers an agent and adds a runner, by keyboard only', {
  skip,
}, async (t) => {
  const errand = errandCommand(t)
  const made = join(errand.home, 'made')
  const server = await startModelServer({ script: [runTurn(`echo made > ${made}`), { text: 'It is made.' }] })
  t.after(() => server.stop())
  const env = { OPENAI_API_KEY: 'a key of this test', OPENAI_BASE_URL: `${server.url}/v1` }
  const hub = errand.start(['up', '--port', '0'], { env })
  await hub.until(/Errand is up at/)
  const url = /Errand is up at (\S+)/.exec(hub.printed.stdout)![1]!
  const [, user, password] = /user +(\S+)\n +password (\S+)/.exec(hub.printed.stdout)!
  const context = await (await startBrowser(t)).newContext({
    viewport: { width: 1440, height: 900 },
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  context.setDefaultTimeout(LONGEST_WAIT_MS)
  t.after(() => context.close())
  const page = await context.newPage()
  page.on('pageerror', (error) => assert.fail(error))
  const keys = page.keyboard
  /** Presses Tab, as a person would, until the element of this name has the focus. */
  const tabTo = async (name: RegExp, key = 'Tab') => {
    for (let left = 80; left > 0; left--) {
      const text = (await page.evaluate(
        `(() => { const at = document.activeElement; return (at?.getAttribute('aria-label') ?? '') + ' ' + (at?.textContent ?? '') })()`,
      )) as string
      if (name.test(text.slice(0, 200))) return
      await keys.press(key)
    }
    assert.fail(`no key leads to ${name}`)
  }

  await t.test('log in at the printed address', async () => {
    await page.goto(url)
    await page.getByLabel('Name').waitFor()
    await page.locator('input[name="username"]:focus, input:focus').waitFor()
    await keys.type(user!)
    await keys.press('Tab')
    await keys.type(password!)
    await keys.press('Enter')
    await page.waitForURL('**/runs')
    await page.getByText('Nothing has run here yet').waitFor()
  })

  const fixed = join(errand.home, 'mended')
  await t.test('paste a workflow and run it: one host fails, and its reason is there', async () => {
    await keys.press('n')
    await page.locator('#yaml:focus').waitFor()
    await keys.press('Control+a')
    await page.evaluate(`navigator.clipboard.writeText(${JSON.stringify(hosts(fixed))})`)
    await keys.press('Control+v')
    await page.getByText('No mistakes, 2 steps').waitFor()
    await keys.press('Control+Enter')
    await page.waitForURL('**/new?from=run_*')
    await page.getByText('no room', { exact: true }).first().waitFor()
    await tabTo(/^\s*Open run/)
    await keys.press('Enter')
    await page.getByRole('heading', { name: 'roll-out' }).waitFor()
    await page.getByText('exit code 7').first().waitFor()
    await page
      .getByRole('region', { name: /^Log of / })
      .getByText('no room', { exact: true })
      .waitFor()
  })

  await t.test('retry that one host, and everything succeeds', async () => {
    writeFileSync(fixed, '')
    await tabTo(/^\s*Retry eu-2/)
    await keys.press('Enter')
    await page.getByRole('dialog').getByText('Start attempt 2').waitFor()
    await tabTo(/^\s*Start attempt 2/)
    await keys.press('Enter')
    await page.getByText('attempt 2 of 2').waitFor()
    await page.getByRole('img', { name: '2 of 2 steps done' }).waitFor()
  })

  await t.test('a workflow without a mistake ends on the page where it was started', async () => {
    await page.locator('dialog').waitFor({ state: 'detached' })
    await keys.press('n')
    await page.locator('#yaml:focus').waitFor()
    await keys.press('Control+Enter')
    await page.waitForURL('**/new?from=run_*')
    await page
      .getByRole('region', { name: 'Output' })
      .getByRole('img', { name: /2 of 2 steps done/ })
      .waitFor()
  })

  await t.test('start a session, and answer its question at the width of a phone', async () => {
    await page.locator('#yaml:focus').press('Escape')
    await page.setViewportSize({ width: 390, height: 844 })
    await tabTo(/^\s*Agent/)
    await keys.press('Enter')
    await page.getByRole('heading', { name: 'New session' }).waitFor()
    await page.getByLabel('Prompt').focus()
    await keys.type('Make the file')
    await keys.press('Control+Enter')
    const question = page.getByRole('region', { name: 'Question', exact: true })
    await question.getByText(`echo made > ${made}`).waitFor()
    await question.locator('button[aria-disabled="false"]', { hasText: 'Allow once' }).waitFor()
    assert.equal(existsSync(made), false)
    await tabTo(/^\s*Allow once/)
    await keys.press('Enter')
    await page.getByText('It is made.').waitFor()
    assert.ok(existsSync(made))
    await page.getByPlaceholder('Next prompt…', { exact: true }).waitFor()
    await tabTo(/^\s*More actions for this session/, 'Shift+Tab')
    await keys.press('Enter')
    await tabTo(/^\s*End…/)
    await keys.press('Enter')
    const sure = page.getByRole('dialog', { name: 'End Make the file?' })
    await sure.waitFor()
    await tabTo(/^\s*End session/)
    await keys.press('Enter')
    await sure.waitFor({ state: 'detached' })
    await page.getByPlaceholder('Continue this session…').waitFor()
    await page.setViewportSize({ width: 1440, height: 900 })
  })

  await t.test('add a runner with the command that the page gives', async () => {
    await page.locator('main').first().focus()
    await keys.press('Control+k')
    await page.getByRole('dialog').waitFor()
    await keys.type('runners')
    await page.getByRole('option', { name: /^Runners/ }).waitFor()
    await keys.press('Enter')
    await page.locator('dialog').waitFor({ state: 'detached' })
    await page.getByRole('heading', { name: 'Runners' }).waitFor()
    await page.getByRole('button', { name: 'Add a runner' }).waitFor()
    await tabTo(/^\s*Add a runner/)
    await keys.press('Enter')
    const adding = page.getByRole('region', { name: 'Add a runner' })
    // The hub already has a runner on this machine with the machine's name, so the page gives the new one another
    // name.
    await adding.locator('pre').filter({ hasText: '--id runner-2' }).waitFor()
    await tabTo(/^\s*Copy the command/)
    await keys.press('Enter')
    const copied = (await page.evaluate('navigator.clipboard.readText()')) as string
    const [enroll, start] = copied.split('\n').map((line) => line.split(' ').slice(1))
    const enrolled = await errand.run(enroll!)
    assert.equal(enrolled.code, 0, enrolled.stderr)
    const runner = errand.start(start!)
    await adding.getByText(/^runner-2 is connected/).waitFor()
    runner.child.kill('SIGTERM')
    await once(runner.child, 'close')
  })
})
