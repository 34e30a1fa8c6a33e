import assert from 'node:assert/strict'
import { test } from 'node:test'
import { WebhookNotice } from '../../src/contract/places.ts'
import { webStandIn } from '../support/notify/place-stand-ins.ts'
import { startPrograms, workflowText } from '../support/programs.ts'
import { isAccessible, logIn, openPage, password, skip, startBrowser } from '../support/web/browser.ts'

test('people settle where they are told, their tokens and password, and admins who may log in', {
  skip,
}, async (t) => {
  const place = await webStandIn(t)
  const programs = await startPrograms(t, { runner: 'none', hubEnv: { ERRAND_NOTIFY_ALLOW: place.url } })
  const browser = await startBrowser(t)
  const { client, url } = programs
  await client.users.create({ name: 'ann', password, role: 'admin' })
  const page = await openPage(t, browser, programs)

  await t.test('a place is added, tested and removed; its secret is shown once', async () => {
    await page.getByRole('link', { name: 'Settings' }).click()
    const places = page.getByRole('region', { name: 'Places' })
    await places.getByText('You are told nowhere yet').waitFor()
    await isAccessible(page, 'settings')
    await places.getByLabel('Kind').selectOption('webhook')
    await places.getByLabel('Address').fill('not an address')
    await places.getByRole('button', { name: 'Add place' }).click()
    await places.getByRole('alert').waitFor()
    await places.getByLabel('Address').fill(`${place.url}/hidden-path`)
    await places.getByRole('button', { name: 'Add place' }).click()
    await places.getByText('shown this once').waitFor()
    await places.getByRole('button', { name: 'I have it' }).click()
    await places.getByRole('button', { name: 'Send a test' }).click()
    await places.getByText('It was sent').waitFor()
    const notice = WebhookNotice.parse(JSON.parse(place.received[0]!.body))
    assert.deepEqual([notice.kind, notice.url], ['test', `${url}/settings/me`])
    assert.ok(!(await page.content()).includes('hidden-path'))
    await isAccessible(page, 'a place')
    await places.getByRole('button', { name: 'Remove' }).click()
    await page.getByRole('button', { name: 'Remove place' }).click()
    await places.getByText('You are told nowhere yet').waitFor()
  })

  await t.test('single letters are turned off, and on', async () => {
    const letters = page.getByLabel('Single letters are keys')
    await letters.uncheck()
    await page.getByRole('heading', { name: 'You and your places' }).click()
    await page.keyboard.press('n')
    assert.match(page.url(), /\/settings\/me$/)
    // Those of a single page are off as well; a list that has a run has a filter.
    await client.runs.create({ yaml: workflowText([{ name: 'one', cmd: 'true' }]) })
    await page.getByRole('link', { name: 'Runs', exact: true }).click()
    const filter = page.getByLabel(/^Filter: /)
    await filter.waitFor()
    await page.keyboard.press('/')
    const focused = filter.and(page.locator(':focus'))
    assert.equal(await focused.count(), 0)
    await page.goto(`${url}/settings/me`)
    await letters.check()
    await page.getByRole('heading', { name: 'You and your places' }).click()
    await letters.blur()
    await page.keyboard.press('n')
    await page.waitForURL('**/new')
    await page.getByRole('link', { name: 'Runs', exact: true }).click()
    await filter.waitFor()
    await page.keyboard.press('/')
    await focused.waitFor()
  })

  await t.test('a token is made, shown once, works, and is revoked', async () => {
    await page.goto(`${url}/settings/tokens`)
    await page.getByLabel('Name').fill('ci of the shop')
    await page.getByRole('button', { name: 'Make a token' }).click()
    const shown = page.getByRole('status').filter({ hasText: 'shown this once' }).locator('code')
    const token = await shown.innerText()
    const asks = () => fetch(`${url}/api/me`, { headers: { authorization: `Bearer ${token}` } })
    assert.equal((await asks()).status, 200)
    await isAccessible(page, 'tokens')
    await page.reload()
    const row = page.getByRole('listitem').filter({ hasText: 'ci of the shop' })
    await row.waitFor()
    assert.ok(!(await page.content()).includes(token))
    await row.getByRole('button', { name: 'Revoke' }).click()
    await page.getByRole('button', { name: 'Revoke token' }).click()
    await row.waitFor({ state: 'detached' })
    assert.equal((await asks()).status, 401)
  })

  await t.test('an admin adds a user, and disables it', async () => {
    await page.goto(`${url}/settings/users`)
    await page.getByLabel('Name').fill('bob')
    await page.getByLabel('First password').fill(password)
    await page.getByRole('button', { name: 'Add user' }).click()
    const row = page.getByRole('listitem').filter({ hasText: 'bob' })
    await row.getByText('active').waitFor()
    await isAccessible(page, 'users')
    await row.getByRole('button', { name: 'Disable…' }).click()
    await page.getByRole('button', { name: 'Disable user' }).click()
    await row.getByText('disabled').waitFor()
    const [bob] = (await client.users.list({ name: 'bob' })).users
    assert.equal(bob!.disabled, true)
    await page.goto(`${url}/settings/about`)
    await page.getByText(`errand login ${url}`).waitFor()
    await isAccessible(page, 'about')
  })

  await t.test('a changed password ends the other sessions, and this one goes on', async () => {
    const other = await browser.newContext()
    t.after(() => other.close())
    const second = await other.newPage()
    await second.goto(`${url}/login`)
    await logIn(second, password)
    await second.waitForURL('**/runs')
    await page.goto(`${url}/settings/me`)
    await page.getByLabel('Password now').fill(password)
    await page.getByLabel('New password', { exact: true }).fill('another long password')
    await page.getByLabel('New password again').fill('another long passwort')
    await page.getByRole('button', { name: 'Change password' }).click()
    await page.getByText('The two new passwords differ').waitFor()
    await page.getByLabel('New password again').fill('another long password')
    await page.getByRole('button', { name: 'Change password' }).click()
    await page.getByText('The password is changed').waitFor()
    await page.goto(`${url}/settings/tokens`)
    await page.getByLabel('Name').fill('after the change')
    await page.getByRole('button', { name: 'Make a token' }).click()
    await page.getByText('shown this once').waitFor()
    await second.goto(`${url}/runs`)
    await second.waitForURL('**/login?next=%2Fruns')
  })

  await t.test('a session that ends asks over the page, and nothing on the page is lost', async () => {
    await page.goto(`${url}/new`)
    const editor = page.getByLabel('Workflow, as YAML')
    const text = 'version: v0.1\nname: draft\n# not lost\n'
    await editor.fill(text)
    const [ann] = (await client.users.list({ name: 'ann' })).users
    await client.users.update(ann!.id, { password: 'yet another password' })
    await editor.press('End')
    await editor.pressSequentially('steps: []')
    const dialog = page.getByRole('dialog')
    await dialog.getByText('Your login has ended').waitFor()
    await isAccessible(page, 'login over the page')
    await page.keyboard.press('Escape')
    await dialog.getByText('Your login has ended').waitFor()
    await dialog.getByLabel('Password', { exact: true }).fill('wrong')
    await page.keyboard.press('Enter')
    await dialog.getByRole('alert').waitFor()
    await dialog.getByLabel('Password', { exact: true }).fill('yet another password')
    await page.keyboard.press('Enter')
    await dialog.waitFor({ state: 'detached' })
    assert.match(await editor.inputValue(), /# not lost/)
    assert.match(page.url(), /\/new$/)
    await page.getByRole('status').filter({ hasText: 'live' }).first().waitFor()
  })

  await t.test(
    'a page that is only watched asks for the login by itself, and is live again after it',
    async () => {
      const workflow = {
        ...{ version: 'v0.1', name: 'release' },
        steps: [{ name: 'ask', action: 'approval.wait', args: { message: 'Ship it?' } }],
      }
      const { run_id } = await client.runs.create({ workflow })
      await page.goto(`${url}/runs/${run_id}`)
      await page.getByText('Ship it?').waitFor()
      await page.getByLabel('Comment').fill('half a comment')
      const [ann] = (await client.users.list({ name: 'ann' })).users
      await client.users.update(ann!.id, { password })
      const dialog = page.getByRole('dialog')
      // The hub looks at a stream's session now and then.
      await dialog.getByText('Your login has ended').waitFor({ timeout: 60_000 })
      await dialog.getByLabel('Password', { exact: true }).fill(password)
      await page.keyboard.press('Enter')
      await dialog.waitFor({ state: 'detached' })
      assert.equal(await page.getByLabel('Comment').inputValue(), 'half a comment')
      await client.runs.approve(run_id, { step: 'ask' })
      await page.getByText('Approved by admin').waitFor()
    },
  )
})
