import assert from 'node:assert/strict'
import { cpSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { runTurn } from '../support/model-server/server.ts'
import { type ProgramsOptions, startPrograms, workflowText } from '../support/programs.ts'
import { taskPlace } from '../support/tasks/task-place.ts'
import { openPage, password, skip, startBrowser } from '../support/web/browser.ts'
import { leads, part } from '../support/web/tabs.ts'

const root = join(import.meta.dirname, '../..')

/** Installs Errand in a folder as another release: the same source with another version. */
function otherRelease(folder: string, version: string): string {
  mkdirSync(join(folder, 'dist'), { recursive: true })
  for (const part of ['bin', 'src']) cpSync(join(root, part), join(folder, part), { recursive: true })
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'))
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ ...manifest, version }))
  symlinkSync(join(root, 'dist/web'), join(folder, 'dist/web'))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  return join(folder, 'bin/errand')
}

test('a hub of another version is announced, and the page is reloaded only when a person agrees', {
  skip,
}, async (t) => {
  const options: ProgramsOptions = { runner: 'none' }
  const programs = await startPrograms(t, options)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, browser, programs)
  const other = await page.context().newPage()
  await other.goto(`${programs.url}/runs`)
  await page.goto(`${programs.url}/new`)
  const field = page.getByLabel('Workflow YAML')
  await field.fill('version: v0.1\nname: half\n')
  await page.evaluate('window.sameDocument = true')
  const notice = page.getByRole('status').filter({ hasText: 'Errand was updated.' })

  // The same version again is not an update.
  await programs.kill('hub')
  await programs.startHub()
  await page.getByRole('status').filter({ hasText: 'reconnecting' }).first().waitFor({ state: 'detached' })
  await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
  assert.equal(await notice.count(), 0)

  await programs.kill('hub')
  const program = otherRelease(join(programs.home, 'release'), '99.1.0')
  options.hubWithin = ['/bin/sh', '-c', `shift; exec '${program}' "$@"`, 'sh']
  await programs.startHub()
  for (const one of [page, other]) await one.getByText('Errand was updated.').waitFor()
  assert.equal((await programs.client.health()).version, '99.1.0')
  // Every tab says so, and the page loses nothing.
  assert.equal(await page.evaluate('window.sameDocument'), true)
  assert.match(await field.inputValue(), /name: half/)
  await field.press('End')
  await field.pressSequentially('steps: []')
  await page.getByText('must have at least one step').or(page.getByText(/steps/)).first().waitFor()
  assert.equal(await page.evaluate('window.sameDocument'), true)
  await notice.getByRole('button', { name: 'Reload' }).click()
  await page.getByText('· 99.1.0').waitFor()
  await notice.waitFor({ state: 'detached' })
  assert.match(await field.inputValue(), /name: half[\s\S]*steps: \[\]/)
})

test('while the hub is away, you can open other pages, and unloaded ones appear when it is back', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t, { runner: 'none' })
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, browser, programs)
  const fetched = page.waitForResponse(/me-page.*\.js$/)
  await page.goto(`${programs.url}/runs`)
  await fetched
  await page.evaluate('window.sameDocument = true')
  await programs.kill('hub')
  const bar = page.getByRole('navigation', { name: 'Errand', exact: true })
  await bar.getByRole('link', { name: 'Settings' }).click()
  await page.getByRole('heading', { name: 'Account' }).waitFor()
  await page.getByRole('link', { name: 'Tokens' }).click()
  await page.getByText('It loads when the hub is back.').waitFor()
  await page.getByRole('button', { name: 'Try again' }).click()
  // The side bar stays, and its links work.
  await bar.getByRole('link', { name: 'New run' }).click()
  await page.getByLabel('Workflow YAML').waitFor()
  await page.goBack()
  await page.getByText('It loads when the hub is back.').waitFor()
  await programs.startHub()
  await page.getByText('Create token').first().waitFor()
  assert.equal(await page.evaluate('window.sameDocument'), true)
})

test('when the tab with the stream crashes, the others continue, and nothing is missing or duplicated', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const file = (name: string) => join(programs.home, name)
  const cmd = `${part('first', file('a'))}; ${part('second', file('b'))}; echo last`
  const { run_id } = await programs.client.runs.create({ yaml: workflowText([{ name: 'long', cmd }]) })
  const pages = [await openPage(t, browser, programs)]
  for (let tab = 1; tab < 4; tab++) pages.push(await pages[0]!.context().newPage())
  for (const page of pages) {
    await page.goto(`${programs.url}/runs/${run_id}`)
    await page.getByText('first', { exact: true }).waitFor()
  }
  const crash = async () => {
    const at = await eventually('a tab that leads', async () => {
      const all = await Promise.all(pages.map(leads))
      return all.includes(true) && { index: all.indexOf(true) }
    })
    const [leading] = pages.splice(at.index, 1)
    const crashed = leading!.waitForEvent('crash')
    const session = await leading!.context().newCDPSession(leading!)
    session.send('Page.crash').catch(() => undefined)
    await crashed
  }
  await crash()
  writeFileSync(file('a'), '')
  for (const page of pages) await page.getByText('second', { exact: true }).waitFor()
  // Another renderer crashes at the very moment when something arrives.
  writeFileSync(file('b'), '')
  await crash()
  for (const page of pages) {
    await page.getByRole('img', { name: '1 of 1 step done' }).waitFor()
    for (const line of ['first', 'second', 'last']) {
      await page.getByText(line, { exact: true }).waitFor()
      assert.equal(await page.getByText(line, { exact: true }).count(), 1, line)
    }
  }
})

test('typed text survives a reload, a logout and a hub restart, and no other user of the browser gets it', {
  skip,
}, async (t) => {
  const { repository, programs } = await taskPlace(t, {
    script: [runTurn('printf "a\\nb\\n" > new.ts'), { text: 'Done so far.' }],
  })
  const { client, url } = programs
  for (const name of ['ann', 'bob']) await client.users.create({ name, password, role: 'admin' })
  const { run_id } = await client.runs.create({
    agent: {
      ...{ prompt: 'Make it', agent: 'builtin', model: 'm', interactive: true },
      workspace: { repo: repository.cloneUrl, branch: 'fix' },
    },
  })
  const browser = await startBrowser(t)
  const page = await openPage(t, browser, programs)
  const field = page.getByLabel('Workflow YAML')
  const prompt = page.getByLabel('Next prompt')
  const comment = page.getByText('What about b?', { exact: true })
  const session = async () => {
    await page.goto(`${url}/runs/${run_id}?panel=changes&file=new.ts`)
    await page.getByText('is waiting for your next prompt').waitFor()
    await page
      .getByRole('button', { name: /omment on line 2/ })
      .first()
      .waitFor()
  }
  /** Returns what the pages show of the draft. */
  const shown = async () => {
    await session()
    const ofSession = [await prompt.inputValue(), await comment.count()]
    await page.goto(`${url}/new`)
    await field.waitFor()
    const yaml = await field.inputValue()
    await page.goto(`${url}/new?kind=task`)
    await page.getByLabel('Issue URL').waitFor()
    return [...ofSession, /anns own/.test(yaml), await page.getByLabel('Issue URL').inputValue()]
  }
  const logOut = async () => {
    await page.getByRole('button', { name: /: theme, log out$/ }).click()
    await page.getByRole('button', { name: 'Log out', exact: true }).click()
    await page.waitForURL('**/login')
  }
  const logInAs = async (name: string) => {
    await page.getByLabel('Name').fill(name)
    await page.getByLabel('Password', { exact: true }).fill(password)
    await page.keyboard.press('Enter')
    await page.waitForURL('**/runs')
  }
  const anns = ['and then this', 1, true, 'https://git.example/shop/web/issues/12']
  const none = ['', 0, false, '']
  await page.goto(`${url}/new`)
  await field.fill('version: v0.1\nname: anns own\n')
  await page.goto(`${url}/new?kind=task`)
  await page.getByLabel('Issue URL').fill('https://git.example/shop/web/issues/12')
  await session()
  await prompt.fill('and then this')
  // A comment that was being written is a draft after the reload.
  await page
    .getByRole('button', { name: /omment on line 2/ })
    .first()
    .click()
  await page.getByRole('textbox', { name: /omment on/ }).fill('What about b?')
  await page.reload()
  await comment.waitFor()
  assert.deepEqual(await shown(), anns)

  await programs.kill('hub')
  await programs.startHub()
  await eventually('the runner', async () =>
    (await client.runners.list()).some(({ status }) => status === 'connected'),
  )
  assert.deepEqual(await shown(), anns)

  await logOut()
  await logInAs('bob')
  assert.deepEqual(await shown(), none)
  await page.goto(`${url}/new`)
  await field.fill('version: v0.1\nname: bobs own\n')

  // In a tab of bob's, another person logs in over the page. The page is loaded again for them.
  await page.evaluate('window.sameDocument = true')
  // Before the cookies are removed: after that, the page's next request opens the dialog, which would receive the
  // keys.
  await field.fill('version: v0.1\nname: bobs own\n# more')
  await page.context().clearCookies()
  await page.getByRole('link', { name: 'Tasks' }).hover()
  const dialog = page.getByRole('dialog', { name: 'Your login has expired' })
  await dialog.waitFor()
  await dialog.getByLabel('Name').fill('ann')
  await dialog.getByLabel('Password', { exact: true }).fill(password)
  await page.keyboard.press('Enter')
  await page.getByRole('button', { name: 'ann: theme, log out' }).waitFor()
  await field.waitFor()
  assert.equal(await page.evaluate('"sameDocument" in window'), false)
  assert.match(await field.inputValue(), /anns own/)
  assert.deepEqual(await shown(), anns)

  // The same happens if the other person logs in in another tab.
  await page.goto(`${url}/new`)
  await field.waitFor()
  const other = await page.context().newPage()
  await other.goto(`${url}/runs`)
  await other.getByRole('button', { name: 'ann: theme, log out' }).click()
  await other.getByRole('button', { name: 'Log out', exact: true }).click()
  await other.waitForURL('**/login')
  await other.getByLabel('Name').fill('bob')
  await other.getByLabel('Password', { exact: true }).fill(password)
  await other.keyboard.press('Enter')
  await page.getByRole('button', { name: 'bob: theme, log out' }).waitFor()
  await field.waitFor()
  assert.match(await field.inputValue(), /bobs own[\s\S]*# more/)
})

test('an answer survives an expired login: the page asks for the login, and the answer is given afterwards', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  const { client, url } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const steps = [{ name: 'ask', action: 'approval.wait', args: { message: 'Ship it?' } }]
  const { run_id } = await client.runs.create({ workflow: { version: 'v0.1', name: 'release', steps } })
  const page = await openPage(t, browser, programs)
  await page.goto(`${url}/runs/${run_id}`)
  const card = page.getByRole('region', { name: 'Waiting for your answer' })
  await card.getByLabel('Comment').fill('looked at it')
  // The session ends while the answer is on its way. If it ended earlier, the page would ask before the press.
  const [ann] = (await client.users.list({ name: 'ann' })).users
  await page.route('**/approve', async (route) => {
    await client.users.update(ann!.id, { password: `another ${password}` })
    await route.continue()
  })
  await card.getByRole('button', { name: 'Approve' }).click()
  const dialog = page.getByRole('dialog', { name: 'Your login has expired' })
  await dialog.waitFor()
  assert.equal((await client.runs.get(run_id)).steps[0]!.status, 'waiting')
  await page.unrouteAll()
  await dialog.getByLabel('Password', { exact: true }).fill(`another ${password}`)
  await page.keyboard.press('Enter')
  await dialog.waitFor({ state: 'detached' })
  assert.equal(await card.getByLabel('Comment').inputValue(), 'looked at it')
  await card.getByRole('button', { name: 'Approve' }).click()
  await page.getByText('Approved by ann').waitFor()
  const {
    steps: [step],
  } = await programs.ended(run_id)
  assert.deepEqual([step!.answered?.by, step!.answered?.comment], ['ann', 'looked at it'])
})

test("changes during a page's first read of a run are not missed", { skip }, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  await programs.client.users.create({ name: 'ann', password, role: 'admin' })
  const [a, b, c] = ['a', 'b', 'c'].map((name) => join(programs.home, name))
  const steps = [
    { name: 'talks', needs: [], cmd: `${part('begun', a!)}; ${part('heard', join(programs.home, 'end'))}` },
    { name: 'before', needs: [], cmd: part('waits', b!) },
    { name: 'meanwhile', needs: [], cmd: part('waits', c!) },
  ]
  const { run_id } = await programs.client.runs.create({ yaml: workflowText(steps) })
  const done = (count: number) =>
    eventually(`${count} steps done`, async () => {
      const run = await programs.client.runs.get(run_id)
      return run.steps.filter(({ status }) => status === 'success').length === count
    })
  const page = await openPage(t, browser, programs)
  await page.clock.install()
  await page.goto(`${programs.url}/runs/${run_id}?step=talks`)
  await page.getByText('begun', { exact: true }).waitFor()
  const held = Promise.withResolvers<void>()
  await page.route(
    ({ pathname }) => pathname === `/api/runs/${run_id}`,
    async (route) => {
      // The answer is from before the next step ended, and arrives after the page has heard of that end.
      const response = await route.fetch()
      writeFileSync(c!, '')
      await done(2)
      writeFileSync(a!, '')
      await page.getByText('heard', { exact: true }).waitFor()
      await page.clock.runFor(2000)
      await route.fulfill({ response })
      held.resolve()
    },
    { times: 1 },
  )
  writeFileSync(b!, '')
  await held.promise
  await page.getByRole('img', { name: '2 of 3 steps done' }).waitFor()
})
