import assert from 'node:assert/strict'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { gzipSync } from 'node:zlib'
import { startPrograms, workflowText } from '../support/programs.ts'
import {
  isAccessible,
  LONGEST_WAIT_MS,
  logIn,
  openPage,
  password,
  skip,
  startBrowser,
} from '../support/web/browser.ts'

test('the first load of the page is at most 150 KB of script and style', () => {
  const folder = join(import.meta.dirname, '../../dist/web')
  const html = readFileSync(join(folder, 'index.html'), 'utf8')
  const names = [...html.matchAll(/(?:src|href)="\.\/(assets\/[^"]+\.(?:js|css))"/g)].map(([, name]) => name!)
  assert.ok(names.length >= 3, html)
  const bytes = names.reduce((sum, name) => sum + gzipSync(readFileSync(join(folder, name))).length, 0)
  assert.ok(bytes <= 150 * 1024, `${bytes} bytes`)
  assert.doesNotMatch(html, /<script>|style=/)
  for (const name of readdirSync(join(folder, 'assets')))
    if (/\.(js|css)$/.test(name))
      assert.doesNotMatch(readFileSync(join(folder, 'assets', name), 'utf8'), /url\(https?:/)
})

test('people log in, paste a workflow, watch it, find why one failed, and retry it', { skip }, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })

  await t.test('a refused login says why, and a successful one leads to the requested page', async () => {
    const context = await browser.newContext()
    context.setDefaultTimeout(LONGEST_WAIT_MS)
    const page = await context.newPage()
    await page.goto(`${programs.url}/settings/runners`)
    await logIn(page, 'not the password')
    await page.getByRole('alert').filter({ hasText: 'password is wrong' }).waitFor()
    await isAccessible(page, 'login')
    await logIn(page, password)
    await page.getByRole('heading', { name: 'Runners' }).waitFor()
    await page.getByText('apart', { exact: true }).first().waitFor()
    assert.equal(await page.evaluate('document.cookie'), '')
    await isAccessible(page, 'runners')
    await page.goto(`${programs.url}/login?next=https://elsewhere.example/`)
    await logIn(page, password)
    await page.waitForURL(`${programs.url}/runs`)
    await context.close()
  })

  await t.test(
    'invalid YAML says where and runs nothing; after a fix its output is on the same page',
    async (t) => {
      const page = await openPage(t, browser, programs)
      await page.getByRole('link', { name: 'Run the example' }).waitFor()
      await isAccessible(page, 'no runs')
      await page.keyboard.press('n')
      const editor = page.getByLabel('Workflow YAML')
      await editor.fill(
        'version: v0.1\nname: pasted\nsteps:\n  - name: one\n    action: cmd.rum\n    args: {cmd: echo}\n',
      )
      await page.getByText('5:13').waitFor()
      await editor.press('Control+Enter')
      const caret = `document.activeElement?.id === 'yaml' && document.activeElement.selectionStart`
      const mistake = (await editor.inputValue()).indexOf('cmd.rum')
      await page.waitForFunction(`(${caret}) === ${mistake}`)
      assert.deepEqual((await programs.client.runs.list()).runs, [], 'nothing runs')
      await editor.fill(
        "version: v0.1\nname: pasted\nsteps:\n  - name: one\n    action: cmd.run\n    args: {cmd: 'echo it is here; echo and this >&2'}\n",
      )
      await page.getByText('No mistakes').waitFor()
      await editor.press('Control+Enter')
      await page.getByText('it is here', { exact: true }).waitFor()
      await page.getByText('and this', { exact: true }).waitFor()
      assert.match(page.url(), /\/new\?from=run_/)
      await isAccessible(page, 'new')
      await page.getByRole('link', { name: 'Open run' }).click()
      await page.getByRole('heading', { name: 'pasted' }).waitFor()
      await page.getByRole('img', { name: '1 of 1 step done' }).waitFor()
    },
  )

  await t.test(
    'a failed step is open with its reason and log, and a retry reuses what succeeded',
    async (t) => {
      const fixed = join(programs.home, 'mended')
      const yaml = workflowText([
        { name: 'build', cmd: 'echo built' },
        { name: 'check', cmd: `echo looking; test -e ${fixed} || { echo not mended >&2; exit 7; }` },
        { name: 'ship', cmd: 'echo shipped' },
      ])
      const { run_id } = await programs.client.runs.create({ yaml })
      await programs.ended(run_id)
      const page = await openPage(t, browser, programs)
      await isAccessible(page, 'runs')
      await page.locator(`[data-run="${run_id}"] a`).click()
      await page.getByText('exit code 7', { exact: true }).waitFor()
      const log = page.getByRole('region', { name: 'Log of check' })
      await log.getByText('not mended', { exact: true }).waitFor()
      await isAccessible(page, 'a failed run')
      writeFileSync(fixed, '')
      await page.getByRole('button', { name: 'Retry failed' }).first().click()
      await page.getByRole('button', { name: 'Start attempt 2' }).click()
      await page.getByText('attempt 2 of 2').waitFor()
      await page.getByRole('img', { name: '3 of 3 steps done' }).waitFor()
      await page.getByText('shipped', { exact: true }).waitFor()
    },
  )

  await t.test('output and names of runs are shown unchanged, and nothing in them is executed', async (t) => {
    const evil = '<img src=x onerror="window.taken=1"><script>window.taken=1</script>'
    const { run_id } = await programs.client.runs.create({
      workflow: {
        version: 'v0.1',
        name: evil.slice(0, 40),
        steps: [
          {
            name: 'print',
            action: 'cmd.run',
            args: {
              cmd: `printf '%s\\n' '${evil}'; printf '\\033]8;;javascript:alert(1)\\007link\\033]8;;\\007\\n'`,
            },
          },
        ],
      },
      vars: { given: evil },
    })
    await programs.ended(run_id)
    const page = await openPage(t, browser, programs)
    await page.locator(`[data-run="${run_id}"] a`).click()
    await page.getByText(evil, { exact: true }).first().waitFor()
    await page.getByText('link', { exact: true }).waitFor()
    assert.equal(await page.evaluate('"taken" in window'), false)
    assert.equal(await page.locator('a[href^="javascript:"]').count(), 0)
  })

  await t.test('a question is answered on its page', async (t) => {
    const { run_id } = await programs.client.runs.create({
      workflow: {
        version: 'v0.1',
        name: 'release',
        steps: [
          { name: 'ask', action: 'approval.wait', args: { message: 'Ship it?' } },
          { name: 'ship', action: 'cmd.run', args: { cmd: 'echo shipped' } },
        ],
      },
    })
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run_id}`)
    await page.getByText('Ship it?').waitFor()
    await isAccessible(page, 'a question')
    await page.getByRole('button', { name: 'Approve' }).click()
    await page.getByText('shipped', { exact: true }).waitFor()
    assert.equal((await programs.ended(run_id)).status, 'success')
  })

  await t.test('the list shows runs as they come and end, and its filter keeps others out', async (t) => {
    const end = join(programs.home, 'end of live')
    const page = await openPage(t, browser, programs)
    await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
    const yaml = workflowText([{ name: 'wait', cmd: `while [ ! -e '${end}' ]; do sleep 0.05; done` }])
    const { run_id } = await programs.client.runs.create({ yaml })
    const goingOn = page.getByRole('region', { name: 'In progress' }).locator(`[data-run="${run_id}"]`)
    await goingOn.waitFor()
    await page.getByLabel('status', { exact: true }).selectOption('running')
    await page.waitForURL('**/runs?status=running')
    await goingOn.waitFor()
    await page.getByLabel('status', { exact: true }).selectOption('failed')
    await goingOn.waitFor({ state: 'detached' })
    await page.getByLabel('status', { exact: true }).selectOption('')
    await goingOn.waitFor()
    await page.mouse.move(0, 0)
    writeFileSync(end, '')
    await page.getByRole('region', { name: 'Today' }).locator(`[data-run="${run_id}"]`).waitFor()
  })

  await t.test('when the hub is killed and returns, the page continues, and loses no line', async (t) => {
    const [halfway, end] = [join(programs.home, 'halfway'), join(programs.home, 'end')]
    const wait = (file: string) => `while [ ! -e ${file} ]; do sleep 0.05; done`
    const cmd = `echo first; ${wait(halfway)}; echo second; ${wait(end)}; echo third`
    const { run_id } = await programs.client.runs.create({ yaml: workflowText([{ name: 'long', cmd }]) })
    const page = await openPage(t, browser, programs)
    await page.goto(`${programs.url}/runs/${run_id}`)
    await page.getByText('first', { exact: true }).waitFor()
    await programs.kill('hub')
    writeFileSync(halfway, '')
    await programs.startHub()
    await page.getByText('second', { exact: true }).waitFor()
    writeFileSync(end, '')
    await page.getByText('third', { exact: true }).waitFor()
    await page.getByRole('img', { name: '1 of 1 step done' }).waitFor()
    await page.getByText('3 lines', { exact: true }).waitFor()
  })
})
