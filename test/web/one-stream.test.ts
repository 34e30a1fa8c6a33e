import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { chromium, type Page, type Request } from 'playwright-core'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import {
  browserPath,
  LONGEST_WAIT_MS,
  logIn,
  openPage,
  password,
  skip,
  startBrowser,
} from '../support/web/browser.ts'
import { leads, part } from '../support/web/tabs.ts'

test('twelve tabs of a browser show a live run to its end, though the leading tab and the hub end', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const file = (name: string) => join(programs.home, name)
  const cmd = `${part('first', file('a'))}; ${part('second', file('b'))}; ${part('third', file('c'))}; echo last`
  const yaml = workflowText([{ name: 'long', cmd }])
  const { run_id } = await programs.client.runs.create({ yaml })
  const first = await openPage(t, browser, programs)
  const pages = [first]
  for (let tab = 1; tab < 12; tab++) pages.push(await first.context().newPage())
  let streams = 0
  first.context().on('request', (request) => {
    if (request.url().includes('/api/events?')) streams++
  })
  await Promise.all(pages.map((page) => page.goto(`${programs.url}/runs/${run_id}`)))
  const shown = (text: string) =>
    Promise.all(pages.map((page) => page.getByText(text, { exact: true }).waitFor()))
  await shown('first')
  assert.ok(streams <= 2, `${streams} streams for 12 tabs`)

  // The tab that led before the pages were left may not have released its role yet.
  let index = -1
  await eventually('a tab that leads', async () => {
    index = (await Promise.all(pages.map(leads))).indexOf(true)
    return index >= 0
  })
  await pages.splice(index, 1)[0]!.close()
  writeFileSync(file('a'), '')
  await shown('second')

  await programs.kill('hub')
  writeFileSync(file('b'), '')
  await programs.startHub()
  await shown('third')
  writeFileSync(file('c'), '')
  await shown('last')
  await Promise.all(pages.map((page) => page.getByRole('img', { name: '1 of 1 step done' }).waitFor()))
  for (const page of pages)
    for (const line of ['first', 'second', 'third', 'last'])
      assert.equal(await page.getByText(line, { exact: true }).count(), 1, line)

  // Another run of all tabs at once uses the same stream.
  const { run_id: next } = await programs.client.runs.create({
    yaml: workflowText([{ name: 'one', cmd: 'echo next' }]),
  })
  await Promise.all(pages.slice(0, 4).map((page) => page.goto(`${programs.url}/runs/${next}`)))
  for (const page of pages.slice(0, 4)) await page.getByText('next', { exact: true }).waitFor()
})

test('without locks, over plain HTTP with a host name, each tab has its own stream', { skip }, async (t) => {
  const programs = await startPrograms(t, { hubEnv: { ERRAND_HOST_ALLOW: 'errand.test' } })
  const browser = await chromium.launch({
    executablePath: browserPath,
    args: ['--host-resolver-rules=MAP errand.test 127.0.0.1'],
  })
  t.after(() => browser.close())
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const end = join(programs.home, 'end')
  const yaml = workflowText([{ name: 'long', cmd: `${part('begun', end)}; echo done` }])
  const { run_id } = await programs.client.runs.create({ yaml })
  const context = await browser.newContext()
  context.setDefaultTimeout(LONGEST_WAIT_MS)
  const [one, two] = [await context.newPage(), await context.newPage()]
  const url = programs.url.replace('127.0.0.1', 'errand.test')
  await one.goto(`${url}/login`)
  await logIn(one, password)
  await one.waitForURL('**/runs')
  assert.equal(await one.evaluate('isSecureContext'), false)
  for (const page of [one, two]) {
    await page.goto(`${url}/runs/${run_id}`)
    await page.getByText('begun', { exact: true }).waitFor()
  }
  await programs.kill('hub')
  writeFileSync(end, '')
  await programs.startHub()
  for (const page of [one, two]) await page.getByText('done', { exact: true }).first().waitFor()
  await eventually('the end in both', async () =>
    (
      await Promise.all([one, two].map((page) => page.getByRole('img', { name: '1 of 1 step done' }).count()))
    ).every((count) => count === 1),
  )
})

/** Stops the page's clock, which runs by itself until then. */
const stopClock = (page: Page) =>
  eventually('a paused clock', async () => {
    const soonMs = Number(await page.evaluate('Date.now()')) + 1000
    // The call is refused if that time is over by now.
    return await page.clock.pauseAt(soonMs).then(
      () => true,
      () => false,
    )
  })

/** Makes the page believe that its tab is behind another, or in front. */
const hide = (page: Page, hidden: boolean) =>
  page.evaluate(`(() => {
    Object.defineProperty(document, 'hidden', { configurable: true, get: () => ${hidden} })
    document.dispatchEvent(new Event('visibilitychange'))
  })()`)

async function plainHttp(t: TestContext) {
  const programs = await startPrograms(t, { hubEnv: { ERRAND_HOST_ALLOW: 'errand.test' } })
  const browser = await chromium.launch({
    executablePath: browserPath,
    args: ['--host-resolver-rules=MAP errand.test 127.0.0.1'],
  })
  t.after(() => browser.close())
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const context = await browser.newContext()
  context.setDefaultTimeout(LONGEST_WAIT_MS)
  const url = programs.url.replace('127.0.0.1', 'errand.test')
  const page = await context.newPage()
  await page.goto(`${url}/login`)
  await logIn(page, password)
  await page.waitForURL('**/runs')
  assert.equal(await page.evaluate('isSecureContext'), false)
  return { programs, context, url, page }
}

test('over plain HTTP a hidden tab closes its stream after 20 s, and continues from there when shown', {
  skip,
}, async (t) => {
  const { programs, url, page } = await plainHttp(t)
  const [a, b] = ['a', 'b'].map((name) => join(programs.home, name))
  const cmd = `${part('first', a!)}; ${part('second', b!)}; echo third`
  const { run_id } = await programs.client.runs.create({ yaml: workflowText([{ name: 'long', cmd }]) })
  const streams: Request[] = []
  let ended = 0
  const isStream = (request: Request) => request.url().includes('/api/events?')
  page.on('request', (request) => isStream(request) && streams.push(request))
  page.on('requestfailed', (request) => isStream(request) && ended++)
  await page.clock.install()
  await page.goto(`${url}/runs/${run_id}`)
  await page.getByText('first', { exact: true }).waitFor()
  await stopClock(page)
  const before = { begun: streams.length, ended }
  await hide(page, true)
  await page.clock.runFor(19_000)
  assert.equal(ended, before.ended)
  await page.clock.runFor(1500)
  await eventually('the end of the stream', () => ended === before.ended + 1)
  writeFileSync(a!, '')
  await eventually('the second line', async () =>
    (await new Response(await programs.client.output(run_id, 1, 'stdout')).text()).includes('second'),
  )
  assert.equal(streams.length, before.begun)
  await page.clock.resume()
  await hide(page, false)
  await page.getByText('second', { exact: true }).waitFor()
  const again = new URL(streams.at(-1)!.url())
  assert.match(again.searchParams.get('topics')!, new RegExp(`run:${run_id}@[1-9]`))
  assert.match(again.searchParams.get('after')!, /^[\w-]+\.\d+/)
  writeFileSync(b!, '')
  await page.getByText('third', { exact: true }).waitFor()
  for (const line of ['first', 'second', 'third'])
    assert.equal(await page.getByText(line, { exact: true }).count(), 1, line)
})

test('twelve tabs over plain HTTP are live when you look at them, also those opened in the background', {
  skip,
}, async (t) => {
  const { programs, context, url, page } = await plainHttp(t)
  const end = join(programs.home, 'end')
  const cmd = `${part('begun', end)}; echo over`
  const { run_id } = await programs.client.runs.create({ yaml: workflowText([{ name: 'long', cmd }]) })
  await hide(page, true)
  const pages: Page[] = []
  for (let tab = 0; tab < 12; tab++) {
    const one = await context.newPage()
    await one.addInitScript(
      `Object.defineProperty(document, 'hidden', { configurable: true, get: () => true })`,
    )
    await one.goto(`${url}/runs/${run_id}`)
    pages.push(one)
  }
  // One tab after the other comes to the front. None waits for a connection that others hold.
  for (const [index, one] of pages.entries()) {
    if (index > 0) await hide(pages[index - 1]!, true)
    await hide(one, false)
    await one.getByText('begun', { exact: true }).waitFor()
  }
  writeFileSync(end, '')
  for (const one of [...pages].reverse()) {
    await Promise.all(pages.map((each) => each !== one && hide(each, true)))
    await hide(one, false)
    await one.getByText('over', { exact: true }).waitFor()
    assert.equal(await one.getByText('begun', { exact: true }).count(), 1)
  }
})

test('a page survives the end of its hub without losing a row or a line, and says how old its data are', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const end = join(programs.home, 'end')
  const { run_id } = await programs.client.runs.create({
    yaml: workflowText([{ name: 'long', cmd: `${part('begun', end)}; echo over` }]),
  })
  const page = await openPage(t, browser, programs)
  const list = await page.context().newPage()
  for (const one of [page, list]) await one.clock.install()
  await list.goto(`${programs.url}/runs`)
  await list.getByRole('link', { name: 'flow' }).first().waitFor()
  await page.goto(`${programs.url}/runs/${run_id}`)
  await page.getByText('begun', { exact: true }).waitFor()
  await programs.kill('hub')
  const banner = page.getByText(
    /^The hub isn't responding\. This page shows data from \d\d:\d\d:\d\d; trying again/,
  )
  await eventually('reconnecting', async () => {
    await page.clock.runFor(1000)
    return (await page.getByText('reconnecting', { exact: true }).count()) > 0
  })
  await eventually('the banner', async () => {
    await page.clock.runFor(1000)
    return await banner.isVisible()
  })
  assert.ok(await page.getByText('begun', { exact: true }).isVisible())
  const tried = page.context().waitForEvent('request', (request) => request.url().includes('/api/events?'))
  await page.getByRole('button', { name: 'Now' }).click()
  await tried
  writeFileSync(end, '')
  await programs.startHub()
  await programs.ended(run_id)
  const yaml = workflowText([{ name: 'one', cmd: 'echo next' }], { name: 'meanwhile' })
  await programs.client.runs.create({ yaml })
  await banner.waitFor({ state: 'detached' })
  await page.getByText('over', { exact: true }).first().waitFor()
  assert.equal(await page.getByText('begun', { exact: true }).count(), 1)
  await list.getByRole('link', { name: 'meanwhile' }).waitFor()
  await list.getByRole('img', { name: '1 of 1 step done' }).nth(1).waitFor()
})

test('all tabs ask for an expired login, and typed text survives it, a logout and a new hub', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, browser, programs)
  const other = await page.context().newPage()
  await other.goto(`${programs.url}/settings/me`)
  await other.getByRole('heading', { name: 'Account' }).waitFor()
  await page.goto(`${programs.url}/new`)
  const field = page.getByLabel('Workflow YAML')
  const draft = 'version: v0.1\nname: draft\n# not lost\n'
  await field.fill(draft)
  const loginDialog = (one: Page) => one.getByRole('dialog', { name: 'Your login has expired' })

  // The hub forgets the session. The other tab sends a request, and this one only hears of it.
  await page.context().clearCookies()
  // This works whether or not the tab has just sent a request by itself and is behind the dialog.
  await other.getByRole('link', { name: 'Tokens' }).dispatchEvent('click')
  for (const one of [page, other]) await loginDialog(one).waitFor()
  await loginDialog(other).getByLabel('Password', { exact: true }).fill(password)
  await other.keyboard.press('Enter')
  for (const one of [page, other]) await loginDialog(one).waitFor({ state: 'detached' })
  assert.equal(await field.inputValue(), draft)

  await other.getByRole('button', { name: 'ann: theme, log out' }).click()
  await other.getByRole('button', { name: 'Log out', exact: true }).click()
  await other.waitForURL('**/login')
  // A browser does not reload a document whose loading broke off.
  await other.getByLabel('Name').waitFor()
  await programs.kill('hub')
  await programs.startHub()
  await loginDialog(page).waitFor()
  assert.equal(await field.inputValue(), draft)
  await logIn(other, password)
  await other.waitForURL('**/runs')
  await loginDialog(page).waitFor({ state: 'detached' })
  await page.reload()
  assert.equal(await field.inputValue(), draft)
})
