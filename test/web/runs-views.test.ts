import assert from 'node:assert/strict'
import { test } from 'node:test'
import { eventually } from '../support/errand-command.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import {
  clientOf,
  isAccessible,
  logIn,
  openPage,
  password,
  skip,
  startBrowser,
} from '../support/web/browser.ts'

const shots = process.env.ERRAND_TEST_SHOTS

test('filters are saved as views, and failures need their owner until each was opened', {
  skip,
}, async (t) => {
  const programs = await startPrograms(t)
  const browser = await startBrowser(t)
  const { client } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  await client.users.create({ name: 'bob', password, role: 'user' })
  const ann = await clientOf(programs, 'ann')
  const create = async (name: string, cmd: string, labels?: Record<string, string>) => {
    const yaml = workflowText([{ name: 'verify', cmd }], { name })
    const { run_id } = await ann.runs.create({ yaml, labels })
    await programs.ended(run_id)
    return run_id
  }
  const hostile = '<img src=x onerror=alert(1)>'
  const first = await create('nightly-db', `echo '${hostile}' >&2; exit 3`, { team: 'db', env: 'prod' })
  await create('build', 'true', { team: 'web' })
  const second = await create('deploy-web', 'exit 4')
  const page = await openPage(t, browser, programs)
  const needs = (on = page) => on.getByRole('region', { name: 'Needs you' })
  const shoot = async (name: string) => {
    if (shots === undefined) return
    for (const [width, height] of [
      [1440, 900],
      [390, 844],
    ] as const)
      for (const colorScheme of ['light', 'dark'] as const) {
        await page.setViewportSize({ width, height })
        await page.emulateMedia({ colorScheme })
        await page.evaluate(`document.documentElement.classList.toggle('dark', ${colorScheme === 'dark'})`)
        await page.screenshot({ path: `${shots}-${name}-${width}-${colorScheme}.png` })
      }
    await page.setViewportSize({ width: 1280, height: 800 })
  }

  await t.test('a failure is listed until it was opened, on another browser too', async () => {
    await needs().getByText('deploy-web').waitFor()
    await needs().getByText('2', { exact: true }).waitFor()
    await isAccessible(page, 'failures')
    await page.reload()
    await shoot('failures')
    const other = await (await browser.newContext({ viewport: { width: 390, height: 844 } })).newPage()
    await other.goto(`${programs.url}/login`)
    await logIn(other, password)
    await needs(other).getByText('2', { exact: true }).waitFor()
    await needs(other).getByRole('link', { name: 'Open nightly-db, which failed' }).click()
    await other.waitForURL(`**/runs/${first}*`)
    await eventually('it is seen', async () => (await ann.views.failures()).runs.length === 1)
    await other.context().close()
    await page.reload()
    await needs().getByText('deploy-web').waitFor()
    await needs().getByText('nightly-db').waitFor({ state: 'detached' })
    // The stream of a page that is opened soon after reports it again. It has been looked at all the same.
    assert.equal(await needs().getByText('nightly-db').count(), 0)
    const third = await create('restore', 'exit 5')
    await needs().getByText('restore').waitFor()
    await page.getByRole('button', { name: 'Mark failures as seen' }).click()
    await needs().waitFor({ state: 'detached' })
    assert.deepEqual((await ann.views.failures()).runs, [])
    await page.goto(`${programs.url}/runs/${third}`)
    await page.goto(`${programs.url}/runs`)
    await page.locator('[data-run]').first().waitFor()
    assert.deepEqual(await needs().allInnerTexts(), [])
  })

  await t.test('labels filter, only the newest attempts are listed, and the longest come first', async () => {
    const again = (await ann.runs.retry(second, {})).run_id
    await programs.ended(again)
    await page.goto(`${programs.url}/runs?label=team%3Ddb`)
    await page.getByText('1 of 5', { exact: true }).waitFor()
    await page.getByRole('button', { name: 'Remove label: team=db' }).click()
    await page.getByRole('button', { name: 'Latest attempt only' }).click()
    await page.waitForURL('**/runs?latest=1')
    await page.getByText('4 of 5', { exact: true }).waitFor()
    await page.getByRole('combobox', { name: 'sort' }).selectOption('name')
    await page.waitForURL('**/runs?*sort=name*')
    const names = () => page.locator('[data-run] a').allInnerTexts()
    await eventually(
      'the order',
      async () => (await names()).join(' ') === 'build deploy-web nightly-db restore',
    )
    await page.getByRole('heading', { name: 'All matches' }).waitFor()
    await create('alpha', 'true')
    await page.getByRole('button', { name: '1 new run' }).click()
    await eventually('the new one in its place', async () => (await names())[0] === 'alpha')
  })

  await t.test('a filter is saved for everyone, renamed, used by another user, and deleted', async () => {
    await page.goto(`${programs.url}/runs?status=failed&label=team`)
    await page.getByRole('button', { name: 'Views' }).click()
    const menu = page.getByRole('dialog', { name: 'Views' })
    await menu.getByLabel('Save this filter as').fill('red <b>ones</b>')
    await menu.getByLabel('Share with the whole tenant').check()
    await shoot('views-save')
    await menu.getByRole('button', { name: 'Save view' }).click()
    await menu.getByText('The list shows red <b>ones</b>').waitFor()
    await isAccessible(page, 'views')
    await shoot('views')
    await menu.getByRole('button', { name: 'Rename' }).click()
    await menu.getByLabel(/^New name/).fill('red')
    await menu.getByRole('button', { name: 'Rename' }).click()
    await menu.getByRole('link', { name: 'red' }).waitFor()
    const bob = await (await browser.newContext()).newPage()
    await bob.goto(`${programs.url}/login`)
    await bob.getByLabel('Name').fill('bob')
    await bob.getByLabel('Password', { exact: true }).fill(password)
    await bob.keyboard.press('Enter')
    await bob.getByRole('link', { name: 'red' }).click()
    await bob.waitForURL('**/runs?*label=team*')
    await bob.getByRole('button', { name: 'Views' }).click()
    await bob.getByText('shared by ann').waitFor()
    assert.equal(await bob.getByRole('button', { name: 'Delete red' }).count(), 0)
    await bob.context().close()
    await programs.kill('hub')
    await programs.startHub()
    await page.reload()
    await page.getByRole('button', { name: 'Views' }).click()
    await menu.getByRole('button', { name: 'Delete red' }).click()
    await menu.getByRole('button', { name: 'Delete for everyone' }).click()
    await menu.getByText('No saved filters yet').waitFor()
    assert.deepEqual((await ann.views.list()).views, [])
  })
})
