import assert from 'node:assert/strict'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { errandCommand } from '../support/errand-command.ts'
import { skip, startBrowser } from '../support/web/browser.ts'

const hosts = (mended: string) => `version: v0.1
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
    args: {cmd: 'echo "on $ERRAND_HOST"; test "$ERRAND_HOST" != eu-2 || test -e ${mended} || { echo no room >&2; exit 7; }'}
`

test('a new user gets from the first start to a finished workflow, a retried host and a runner, by keys alone', {
  skip,
}, async (t) => {
  const errand = errandCommand(t)
  const hub = errand.start(['up', '--port', '0'])
  await hub.until(/Errand is up at/)
  const url = /Errand is up at (\S+)/.exec(hub.printed.stdout)![1]!
  const [, user, password] = /user +(\S+)\n +password (\S+)/.exec(hub.printed.stdout)!
  const context = await (await startBrowser(t)).newContext({
    viewport: { width: 1440, height: 900 },
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  context.setDefaultTimeout(30_000)
  t.after(() => context.close())
  const page = await context.newPage()
  page.on('pageerror', (error) => assert.fail(error))
  const keys = page.keyboard
  /** Tabs on to what has this name, as a person would. */
  const tabTo = async (name: RegExp, key = 'Tab') => {
    for (let left = 80; left > 0; left--) {
      const said = (await page.evaluate(
        `(() => { const at = document.activeElement; return (at?.getAttribute('aria-label') ?? '') + ' ' + (at?.textContent ?? '') })()`,
      )) as string
      if (name.test(said.slice(0, 200))) return
      await keys.press(key)
    }
    assert.fail(`no key leads to ${name}`)
  }

  await t.test('log in at the address that is printed', async () => {
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

  const mended = join(errand.home, 'mended')
  await t.test('paste a workflow and run it: one host fails, and its reason is there', async () => {
    await keys.press('n')
    await page.locator('#yaml:focus').waitFor()
    await keys.press('Control+a')
    await page.evaluate(`navigator.clipboard.writeText(${JSON.stringify(hosts(mended))})`)
    await keys.press('Control+v')
    await page.getByText('No mistakes, 2 steps').waitFor()
    await keys.press('Control+Enter')
    await page.waitForURL('**/new?from=run_*')
    await page.getByText('no room', { exact: true }).waitFor()
    await tabTo(/^\s*Open run/)
    await keys.press('Enter')
    await page.getByRole('heading', { name: 'roll-out' }).waitFor()
    await page.getByText('exit_code 7').first().waitFor()
    await page.getByText('no room', { exact: true }).waitFor()
  })

  await t.test('retry the one host alone, and all is done', async () => {
    writeFileSync(mended, '')
    await tabTo(/^\s*Retry eu-2/)
    await keys.press('Enter')
    await page.getByRole('dialog').getByText('Start try 2').waitFor()
    await tabTo(/^\s*Start try 2/)
    await keys.press('Enter')
    await page.getByText('try 2 of 2').waitFor()
    await page.getByRole('img', { name: '2 of 2 steps done' }).waitFor()
  })

  await t.test('a workflow without a mistake ends on the page where it was begun', async () => {
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

  await t.test('add a runner by the command that the page gives', async () => {
    await page.locator('#yaml:focus').press('Escape')
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
    const given = await adding.locator('pre').innerText()
    const token = /errand_enroll_\S+/.exec(given)![0]
    const workspace = join(errand.home, 'second')
    const id = ['--id', 'second', '--workspace', workspace]
    const enrolled = await errand.run(['runner', 'enroll', '--hub', url, '--token', token, ...id])
    assert.equal(enrolled.code, 0, enrolled.stderr)
    const runner = errand.start(['runner', '--workspace', workspace])
    await adding.getByText(/second is here/).waitFor()
    runner.child.kill('SIGTERM')
    await once(runner.child, 'close')
  })
})
