import assert from 'node:assert/strict'
import { networkInterfaces } from 'node:os'
import { test } from 'node:test'
import type { Page } from 'playwright-core'
import { type Programs, startPrograms } from '../support/programs.ts'
import { LONGEST_WAIT_MS, logIn, password, skip, startBrowser } from '../support/web/browser.ts'
import { pathProxy } from '../support/web/path-proxy.ts'

/** An address of this machine that browsers treat as another machine's. */
const outer = Object.values(networkInterfaces())
  .flatMap((all) => all ?? [])
  .find(({ family, internal }) => family === 'IPv4' && !internal)?.address

const asking = {
  version: 'v0.1',
  name: 'release',
  steps: [
    { name: 'ask', action: 'approval.wait', args: { message: 'Ship it?' } },
    { name: 'ship', action: 'cmd.run', args: { cmd: 'echo shipped' } },
  ],
}

const pasted =
  "version: v0.1\nname: pasted\nsteps:\n  - name: one\n    action: cmd.run\n    args: {cmd: 'echo it is here'}\n"

/** Logs in at a link to a question, answers it, pastes and runs a workflow, copies, and reloads the page. */
async function goThrough(page: Page, programs: Programs, base: string): Promise<void> {
  const refused: string[] = []
  page.on('response', (response) => {
    if (response.status() >= 400 && !response.url().endsWith('/api/me')) refused.push(response.url())
  })
  page.on('pageerror', (error) => assert.fail(error))
  const { run_id } = await programs.client.runs.create({ workflow: asking })
  await page.goto(`${base}/runs/${run_id}?step=ask#question:ask`)
  await page.waitForURL(`${base}/login?next=**`)
  await logIn(page, password)
  await page.waitForURL(`${base}/runs/${run_id}?step=ask#question:ask`)
  await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
  await page.getByRole('button', { name: 'Copy' }).first().click()
  await page.getByRole('button', { name: 'Approve' }).click()
  await page.getByText('Approved by ann').waitFor()
  assert.equal((await programs.ended(run_id)).status, 'success')
  await page.keyboard.press('n')
  await page.waitForURL(`${base}/new`)
  const editor = page.getByLabel('Workflow YAML')
  await editor.fill(pasted)
  await page.getByText('No mistakes').waitFor()
  await editor.press('Control+Enter')
  await page.getByText('it is here', { exact: true }).waitFor()
  await page.getByRole('link', { name: 'Open run' }).click()
  await page.getByRole('heading', { name: 'pasted' }).waitFor()
  assert.ok(page.url().startsWith(`${base}/runs/run_`))
  await page.reload()
  await page.getByText('it is here', { exact: true }).waitFor()
  await page.goto(`${base}/settings/about`)
  await page.getByText(`errand login ${base}`).waitFor()
  assert.deepEqual(refused, [])
}

test('below a path behind a proxy everything works, and nothing leaves that path', { skip }, async (t) => {
  let url = ''
  const origin = await pathProxy(t, { hub: () => url, path: '/tools/errand' })
  const programs = await startPrograms(t, { hubEnv: { ERRAND_BASE_PATH: '/tools/errand' } })
  url = programs.url
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const context = await (await startBrowser(t)).newContext({
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  t.after(() => context.close())
  context.setDefaultTimeout(LONGEST_WAIT_MS)
  const page = await context.newPage()
  const outside: string[] = []
  page.on('request', (request) => {
    const { pathname } = new URL(request.url())
    if (!pathname.startsWith('/tools/errand/')) outside.push(pathname)
  })
  await goThrough(page, programs, `${origin}/tools/errand`)
  assert.deepEqual(outside, [])
  const [cookie] = await context.cookies()
  assert.deepEqual([cookie?.name, cookie?.path], ['errand_session', '/tools/errand'])
  await page.goto(`${origin}/tools/errand`)
  await page.waitForURL(`${origin}/tools/errand/runs`)
})

test('over plain HTTP from another machine everything works, though browsers restrict pages there', {
  skip: skip || (outer === undefined && 'this machine has no address but loopback'),
}, async (t) => {
  const programs = await startPrograms(t, { host: outer! })
  const { url, client } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const context = await (await startBrowser(t)).newContext()
  t.after(() => context.close())
  context.setDefaultTimeout(LONGEST_WAIT_MS)
  const page = await context.newPage()
  await page.goto(`${url}/login`)
  const missing = await page.evaluate(
    `[isSecureContext, 'clipboard' in navigator, 'locks' in navigator, 'randomUUID' in crypto]`,
  )
  assert.deepEqual(missing, [false, false, false, false])
  await goThrough(page, programs, url)
  // The copied text is in the clipboard, in the older way, and can be pasted.
  await page.getByRole('button', { name: 'Copy' }).click()
  await page.getByText('Copied').waitFor()
  await page.goto(`${url}/new`)
  const editor = page.getByLabel('Workflow YAML')
  await editor.fill('')
  await editor.press('Control+V')
  assert.equal(await editor.inputValue(), `errand login ${url}`)
})
